package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// updatesPerSecond is how often the watched object changes.
	updatesPerSecond = 20
	// perConnection is how many watchers share one connection, as the informers of one process do.
	perConnection = 50
	// watchedName is what is watched.
	watchedName = "watched"
)

var (
	errWatchEnded = errors.New("a watch ended")
	sentKey       = []byte(`"sent":"`)
)

// fanOut measures from before an update is sent until each watcher has it.
func fanOut(t *table) error {
	for _, n := range []int{100, 1000} {
		names := []string{fmt.Sprintf("Watch fan-out to %d, p50", n), fmt.Sprintf("Watch fan-out to %d, p99", n)}
		goals := []string{"-", "<= 50 ms"}
		err := t.figures(names, goals, milliseconds, func(ctx context.Context, s *server) ([]float64, error) {
			took, err := watched(ctx, s, n, t.sizes.updates)
			if err != nil {
				return nil, err
			}
			p50, p99 := percentiles(took)
			return []float64{p50, p99}, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// watched is how long each of the updates took to each of n watchers.
func watched(ctx context.Context, s *server, n, updates int) ([]time.Duration, error) {
	c, err := s.client(protobuf)
	if err != nil {
		return nil, err
	}
	_, err = c.CoreV1().ConfigMaps("default").Create(ctx, watchedAt("0"), metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := &watchers{updates: updates, ready: make(chan struct{}, n), failed: make(chan error, n)}
	for i := range n {
		if i%perConnection == 0 {
			if err := all.connect(s); err != nil {
				return nil, err
			}
		}
		all.start(ctx)
	}
	for range n {
		select {
		case <-all.ready:
		case err := <-all.failed:
			return nil, err
		}
	}
	if err := update(ctx, c, updates); err != nil {
		return nil, err
	}
	all.group.Wait()
	select {
	case err := <-all.failed:
		return nil, err
	default:
		return all.took, nil
	}
}

func watchedAt(sent string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: watchedName}, Data: map[string]string{"sent": sent}}
}

// update writes the time into the watched object, again and again.
func update(ctx context.Context, c *kubernetes.Clientset, updates int) error {
	tick := time.NewTicker(time.Second / updatesPerSecond)
	defer tick.Stop()
	for range updates {
		now := watchedAt(strconv.FormatInt(time.Now().UnixNano(), 10))
		if _, err := c.CoreV1().ConfigMaps("default").Update(ctx, now, metav1.UpdateOptions{}); err != nil {
			return err
		}
		<-tick.C
	}
	return nil
}

// watchers read events of a watch in JSON, and decode no more of them than the time.
type watchers struct {
	updates int
	ready   chan struct{}
	failed  chan error
	group   sync.WaitGroup
	client  *http.Client
	url     string

	mu   sync.Mutex
	took []time.Duration
}

// connect makes the connection for the watchers to come.
func (w *watchers) connect(s *server) error {
	config, err := s.config("")
	if err != nil {
		return err
	}
	w.url = config.Host + "/api/v1/namespaces/default/configmaps?watch=true&resourceVersion=0&fieldSelector=metadata.name%3D" + watchedName
	w.client, err = rest.HTTPClientFor(config)
	return err
}

func (w *watchers) start(ctx context.Context) {
	client := w.client
	w.group.Go(func() {
		took, err := w.watch(ctx, client)
		if err != nil {
			w.failed <- err
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.took = append(w.took, took...)
	})
}

// watch is ready with the first event, which tells of the object as it was.
func (w *watchers) watch(ctx context.Context, client *http.Client) (took []time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("watch: %s", response.Status)
	}
	lines := bufio.NewReader(response.Body)
	for i := 0; i <= w.updates; i++ {
		event, err := lines.ReadSlice('\n')
		now := time.Now()
		if err != nil {
			return nil, fmt.Errorf("%w after %d events: %w", errWatchEnded, i, err)
		}
		if i == 0 {
			w.ready <- struct{}{}
			continue
		}
		sent, err := sentAt(event)
		if err != nil {
			return nil, err
		}
		took = append(took, now.Sub(sent))
	}
	return took, nil
}

func sentAt(event []byte) (time.Time, error) {
	_, rest, found := bytes.Cut(event, sentKey)
	number, _, _ := bytes.Cut(rest, []byte(`"`))
	nanoseconds, err := strconv.ParseInt(string(number), 10, 64)
	if !found || err != nil {
		return time.Time{}, fmt.Errorf("an event without its time: %.300s", event)
	}
	return time.Unix(0, nanoseconds), nil
}
