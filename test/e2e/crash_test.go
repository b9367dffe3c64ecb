package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// ledger is what the server has said that it holds.
type ledger struct {
	mu      sync.Mutex
	said    map[string]string // ConfigMap → what is in it
	enough  chan struct{}
	wanted  int
	unknown map[string]bool // the answer did not come: it may be there or not
}

func newLedger(wanted int) *ledger {
	return &ledger{said: map[string]string{}, unknown: map[string]bool{}, enough: make(chan struct{}), wanted: wanted}
}

func (l *ledger) acknowledged(name, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said[name] = value
	if l.wanted--; l.wanted == 0 {
		close(l.enough)
	}
}

func (l *ledger) unanswered(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unknown[name] = true
}

// write creates and updates ConfigMaps of its own until the server no longer answers.
func (l *ledger) write(ctx context.Context, client kubernetes.Interface, writer string) {
	configMaps := client.CoreV1().ConfigMaps("default")
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s-%d", writer, i)
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"value": "created"}}
		cm, err := configMaps.Create(ctx, cm, metav1.CreateOptions{})
		if err != nil {
			l.unanswered(name)
			return
		}
		l.acknowledged(name, "created")
		if i%2 == 0 {
			continue
		}
		cm.Data["value"] = "updated"
		if _, err := configMaps.Update(ctx, cm, metav1.UpdateOptions{}); err != nil {
			l.unanswered(name)
			return
		}
		l.acknowledged(name, "updated")
	}
}

func TestWhatWasAcknowledgedOutlivesAKillUnderLoad(t *testing.T) {
	n := startNode(t)
	for round := range 3 {
		l := newLedger(1000)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		client := n.eager()
		var writers sync.WaitGroup
		for i := range 16 {
			writers.Go(func() { l.write(ctx, client, fmt.Sprintf("round-%d-writer-%d", round, i)) })
		}
		select {
		case <-l.enough:
		case <-ctx.Done():
			t.Error("1,000 writes were not acknowledged within five minutes")
		}
		n.kill()
		writers.Wait()
		cancel()
		n.start()
		n.waitReady()
		checkLedger(t, n.client, l)
	}
}

func checkLedger(t *testing.T, client kubernetes.Interface, l *ledger) {
	t.Helper()
	list, err := client.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]string{}
	for _, cm := range list.Items {
		there[cm.Name] = cm.Data["value"]
	}
	for name, value := range l.said {
		if there[name] != value && !l.unknown[name] {
			t.Errorf("%s holds %q, acknowledged was %q", name, there[name], value)
		}
		if _, ok := there[name]; !ok {
			t.Errorf("%s is lost", name)
		}
	}
}
