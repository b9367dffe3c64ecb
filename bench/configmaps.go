package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// configMaps counts creates per second, with one client and with 64.
func (b *bench) configMaps() error {
	for _, run := range []struct {
		clients, creates int
		budget           string
	}{{1, 1500, "900/s"}, {64, 8000, "2500/s"}} {
		rate, err := b.createConfigMaps(run.clients, run.creates)
		if err != nil {
			return err
		}
		figure(fmt.Sprintf("ConfigMap creates, %d client(s)", run.clients), fmt.Sprintf("%.0f/s", rate), run.budget)
	}
	return nil
}

func (b *bench) createConfigMaps(clients, creates int) (perSecond float64, err error) {
	var next atomic.Int64
	var group sync.WaitGroup
	failed := make(chan error, clients)
	begin := time.Now()
	for range clients {
		group.Go(func() {
			for i := next.Add(1); i <= int64(creates); i = next.Add(1) {
				cm := &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("bench-%d-%d", clients, i)},
					Data:       map[string]string{"key": "value"},
				}
				if _, err := b.client.CoreV1().ConfigMaps("default").Create(b.ctx, cm, metav1.CreateOptions{}); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return float64(creates) / time.Since(begin).Seconds(), nil
	}
}
