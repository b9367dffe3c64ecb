package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"dhow/internal/demoapp"
	"dhow/internal/isolate"
)

const nodePortURL = "http://" + isolate.Address + ":30080/"

// ask makes one request on a connection of its own, so that each is balanced anew.
func ask(ctx context.Context, url string) (demoapp.Answer, error) {
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 3 * time.Second}).DialContext},
	}
	var answer demoapp.Answer
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return answer, json.NewDecoder(resp.Body).Decode(&answer)
}

// tally is what a stretch of requests came to.
type tally struct {
	mu       sync.Mutex
	answered int
	failed   []error
	versions map[string]int
	pods     map[string]int
	slowest  time.Duration
}

func newTally() *tally { return &tally{versions: map[string]int{}, pods: map[string]int{}} }

func (t *tally) add(a demoapp.Answer, err error, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slowest = max(t.slowest, took)
	if err != nil {
		t.failed = append(t.failed, err)
		return
	}
	t.answered++
	t.versions[a.Version]++
	t.pods[a.Pod]++
}

// duringRequests runs f while two clients ask without a pause, and fails if any request did.
func (s *show) duringRequests(f func() error) (*tally, error) {
	ctx, cancel := context.WithCancel(s.ctx)
	t := newTally()
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			for ctx.Err() == nil {
				begin := time.Now()
				a, err := ask(s.ctx, nodePortURL)
				t.add(a, err, time.Since(begin))
			}
		})
	}
	err := f()
	cancel()
	clients.Wait()
	s.say("%d requests answered, %d failed, slowest %s; by version %v", t.answered, len(t.failed), round(t.slowest), t.versions)
	if err == nil && len(t.failed) > 0 {
		err = fmt.Errorf("%d requests failed, the first: %w", len(t.failed), t.failed[0])
	}
	return t, err
}
