package container

import (
	"context"
	"sync"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// broadcaster gives events to every subscriber. One that is too slow is dropped.
type broadcaster struct {
	mu          sync.Mutex
	closed      bool
	subscribers map[chan *cri.ContainerEventResponse]struct{}
}

const eventBacklog = 256

func newBroadcaster() *broadcaster {
	return &broadcaster{subscribers: map[chan *cri.ContainerEventResponse]struct{}{}}
}

func (b *broadcaster) subscribe(ctx context.Context) <-chan *cri.ContainerEventResponse {
	c := make(chan *cri.ContainerEventResponse, eventBacklog)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		close(c)
		return c
	}
	b.subscribers[c] = struct{}{}
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.drop(c)
	})
	return c
}

// drop closes a subscriber's channel, once. The caller holds mu.
func (b *broadcaster) drop(c chan *cri.ContainerEventResponse) {
	if _, live := b.subscribers[c]; live {
		delete(b.subscribers, c)
		close(c)
	}
}

func (b *broadcaster) send(event *cri.ContainerEventResponse) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.subscribers {
		select {
		case c <- event:
		default:
			b.drop(c)
		}
	}
}

func (b *broadcaster) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for c := range b.subscribers {
		b.drop(c)
	}
}
