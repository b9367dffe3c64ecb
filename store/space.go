package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"golang.org/x/sys/unix"
)

// etcd ends its process when its disk is full, so the last of the space is kept for what it does by itself:
// nobody may add or change objects when less is free than keep, nor delete any when it is less than keepDeleting.
// The greater part is the log's next segment, which is allocated ahead.
func keep() uint64         { return uint64(wal.SegmentSizeBytes) + 32<<20 }
func keepDeleting() uint64 { return 8 << 20 }

// forNew is what new data needs: two segments, and what is kept.
func forNew() uint64 { return 2*uint64(wal.SegmentSizeBytes) + keep() }

// room fails when less than need is free on dir's file system.
func room(dir string, need uint64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("store %s: %w", dir, err)
	}
	if free := st.Bavail * uint64(st.Bsize); free < need {
		return fmt.Errorf("store %s: %w: %d MB are free there, at least %d are needed: free some, nothing stored is lost",
			dir, unix.ENOSPC, free>>20, need>>20)
	}
	return nil
}

// roomForNew fails when dir holds no data yet and its disk is too small for any.
func roomForNew(dir, data string) error {
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return room(dir, forNew())
}

// guarded is an etcd client's KV that refuses writes for which there is no room, and values that are refused.
type guarded struct {
	clientv3.KV
	dir     string
	refused *refused
}

func (g guarded) allow(ops ...clientv3.Op) error {
	need := uint64(0)
	for _, op := range ops {
		switch {
		case op.IsPut():
			if err := g.refused.check(op.ValueBytes()); err != nil {
				return err
			}
			need = max(need, keep())
		case op.IsDelete():
			need = max(need, keepDeleting())
		case op.IsTxn():
			_, then, otherwise := op.Txn()
			if err := g.allow(append(then, otherwise...)...); err != nil {
				return err
			}
		}
	}
	if need == 0 {
		return nil
	}
	return room(g.dir, need)
}

// Put implements clientv3.KV.
func (g guarded) Put(ctx context.Context, key, val string, opts ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	defer g.refused.writing()()
	if err := g.allow(clientv3.OpPut(key, val)); err != nil {
		return nil, err
	}
	return g.KV.Put(ctx, key, val, opts...)
}

// Delete implements clientv3.KV.
func (g guarded) Delete(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	if err := room(g.dir, keepDeleting()); err != nil {
		return nil, err
	}
	return g.KV.Delete(ctx, key, opts...)
}

// Do implements clientv3.KV.
func (g guarded) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	defer g.refused.writing()()
	if err := g.allow(op); err != nil {
		return clientv3.OpResponse{}, err
	}
	return g.KV.Do(ctx, op)
}

// Txn implements clientv3.KV.
func (g guarded) Txn(ctx context.Context) clientv3.Txn {
	return &guardedTxn{Txn: g.KV.Txn(ctx), guard: g}
}

// guardedTxn looks at what a transaction would write before it is sent.
type guardedTxn struct {
	clientv3.Txn
	guard guarded
	ops   []clientv3.Op
}

// If implements clientv3.Txn.
func (t *guardedTxn) If(cs ...clientv3.Cmp) clientv3.Txn {
	t.Txn = t.Txn.If(cs...)
	return t
}

// Then implements clientv3.Txn.
func (t *guardedTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.Txn, t.ops = t.Txn.Then(ops...), append(t.ops, ops...)
	return t
}

// Else implements clientv3.Txn.
func (t *guardedTxn) Else(ops ...clientv3.Op) clientv3.Txn {
	t.Txn, t.ops = t.Txn.Else(ops...), append(t.ops, ops...)
	return t
}

// Commit implements clientv3.Txn.
func (t *guardedTxn) Commit() (*clientv3.TxnResponse, error) {
	defer t.guard.refused.writing()()
	if err := t.guard.allow(t.ops...); err != nil {
		return nil, err
	}
	return t.Txn.Commit()
}
