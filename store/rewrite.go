package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	"k8s.io/apiserver/pkg/storage/value"
)

// How many values are read at once when all are written anew, and how many of them are written at once.
const (
	rewritePage    = 500
	rewriteWriters = 16
)

// ErrRefused: a value came that Refuse has excluded.
var ErrRefused = errors.New("the value was encrypted with a key that is no longer in use: try again")

// keep remembers how the values under a prefix are encrypted.
func (s *Store) keep(prefix string, t value.Transformer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prefixes[prefix] = t
}

// Rewrite encrypts anew, in place, what is not stored as a write would store it now, and calls done for each value.
// Writes may go on meanwhile. It returns the number that it wrote.
func (s *Store) Rewrite(ctx context.Context, done func()) (written int, err error) {
	s.mu.Lock()
	prefixes := maps.Clone(s.prefixes)
	s.mu.Unlock()
	for _, prefix := range slices.Sorted(maps.Keys(prefixes)) {
		n, err := s.rewriteAll(ctx, prefix, prefixes[prefix], done)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (s *Store) rewriteAll(ctx context.Context, prefix string, t value.Transformer, done func()) (int, error) {
	var written atomic.Int64
	from, end := prefix, clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix))
	for {
		page, err := s.client.KV.Get(ctx, from, end, clientv3.WithLimit(rewritePage))
		if err != nil {
			return int(written.Load()), fmt.Errorf("read %s: %w", prefix, err)
		}
		var writers errgroup.Group
		writers.SetLimit(rewriteWriters)
		for _, kv := range page.Kvs {
			writers.Go(func() error {
				wrote, err := s.rewrite(ctx, string(kv.Key), kv.Value, kv.ModRevision, t)
				if wrote {
					written.Add(1)
				}
				done()
				return err
			})
		}
		if err := writers.Wait(); err != nil || !page.More {
			return int(written.Load()), err
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
}

// rewrite writes one value anew unless it is as it should be, or somebody else has written it meanwhile.
func (s *Store) rewrite(ctx context.Context, key string, stored []byte, revision int64, t value.Transformer) (bool, error) {
	bound := value.DefaultContext(key)
	plain, stale, err := t.TransformFromStorage(ctx, stored, bound)
	if err != nil {
		return false, fmt.Errorf("decrypt %s: %w", key, err)
	}
	if !stale {
		return false, nil
	}
	fresh, err := t.TransformToStorage(ctx, plain, bound)
	if err != nil {
		return false, fmt.Errorf("encrypt %s: %w", key, err)
	}
	result, err := s.client.KV.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
		Then(clientv3.OpPut(key, string(fresh), clientv3.WithIgnoreLease())).Commit()
	if err != nil {
		return false, fmt.Errorf("write %s: %w", key, err)
	}
	return result.Succeeded, nil
}

// Refuse excludes values that start with one of prefixes, from now on until the process ends: when it returns, no
// write of one is under way. Writers get ErrRefused.
func (s *Store) Refuse(prefixes ...string) { s.refused.add(prefixes) }

// refused are the prefixes of values that nobody may write any more.
type refused struct {
	mu       sync.RWMutex // held for reading by each write
	prefixes [][]byte
}

func (r *refused) add(prefixes []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range prefixes {
		r.prefixes = append(r.prefixes, []byte(p))
	}
}

// writing begins a write; what it returns ends it.
func (r *refused) writing() (done func()) {
	r.mu.RLock()
	return r.mu.RUnlock
}

// check is for who is writing.
func (r *refused) check(v []byte) error {
	for _, p := range r.prefixes {
		if bytes.HasPrefix(v, p) {
			return ErrRefused
		}
	}
	return nil
}
