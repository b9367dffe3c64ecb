package store

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Healthy asks etcd for something that it can only answer when it works: a read that all members agree on.
func (s *Store) Healthy(ctx context.Context) error {
	if _, err := s.client.KV.Get(ctx, "health", clientv3.WithCountOnly()); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	return nil
}
