package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"golang.org/x/sys/unix"
)

// smallDisk is a file system of its own of so many megabytes.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=700", megabytes)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves so many bytes free on the store's file system; remove the file that it returns to free the rest.
func fill(t *testing.T, s *Store, leave int64) string {
	t.Helper()
	waitForNextSegment(t, s)
	var st unix.Statfs_t
	if err := unix.Statfs(s.fatal.dir, &st); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(s.fatal.dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail)*st.Bsize-leave); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// waitForNextSegment waits until etcd has allocated the log's next file, which it does in the background.
func waitForNextSegment(t *testing.T, s *Store) {
	t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		ahead, err := filepath.Glob(filepath.Join(s.fatal.dir, "member-data/member/wal/*.tmp"))
		if err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if len(ahead) == 1 && unix.Stat(ahead[0], &st) == nil && st.Size == wal.SegmentSizeBytes {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("etcd allocates no segment ahead")
		}
	}
}

func TestADiskTooSmallForNewDataIsSaidSoAtOnce(t *testing.T) {
	dir := smallDisk(t, 8)
	_, err := New(Config{Dir: dir})
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "MB are free") {
		t.Fatalf("on 8 MB: %v", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=400m"); err != nil {
		t.Fatal(err)
	}
	opened(t, dir)
}

func TestOnAFullDiskWritesAreRefusedReadsGoOnAndNothingIsLost(t *testing.T) {
	s := opened(t, smallDisk(t, 400))
	if _, err := s.client.Put(t.Context(), "/a", "before"); err != nil {
		t.Fatal(err)
	}
	ballast := fill(t, s, 30<<20)

	for name, write := range map[string]func() error{
		"put": func() error { _, err := s.client.Put(t.Context(), "/a", "full"); return err },
		"transaction": func() error {
			_, err := s.client.Client.KV.Txn(t.Context()).If(clientv3.Compare(clientv3.Version("/a"), ">", 0)).Then(clientv3.OpPut("/a", "full")).Commit()
			return err
		},
		"operation": func() error { _, err := s.client.Client.KV.Do(t.Context(), clientv3.OpPut("/a", "full")); return err },
	} {
		if err := write(); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "free some") {
			t.Errorf("%s on a full disk: %v", name, err)
		}
	}
	if found, err := s.client.Client.KV.Get(t.Context(), "/a"); err != nil || string(found.Kvs[0].Value) != "before" {
		t.Errorf("read on a full disk: %v, %v", found, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Put(t.Context(), "/a", "after"); err != nil {
		t.Errorf("once space is free again: %v", err)
	}
}

func TestOnAnAlmostFullDiskThingsCanStillBeDeleted(t *testing.T) {
	s := opened(t, smallDisk(t, 400))
	if _, err := s.client.Put(t.Context(), "/a", "x"); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 30<<20)
	if deleted, err := s.client.Client.KV.Delete(t.Context(), "/a"); err != nil || deleted.Deleted != 1 {
		t.Errorf("delete: %v, %v", deleted, err)
	}
}

func TestWhenEtcdCannotGoOnRunSaysWhyInsteadOfEndingTheProcess(t *testing.T) {
	s := opened(t, smallDisk(t, 400))
	fill(t, s, 1<<20)
	unguarded := s.client.Client.KV.(guarded).KV
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	go func() { // until the database has to grow
		for n := 0; s.fatal.failed() == nil; n++ {
			_, _ = unguarded.Put(t.Context(), fmt.Sprintf("/%d", n), strings.Repeat("x", 1<<20))
		}
	}()
	if err := <-ended; !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "start dhow again") {
		t.Errorf("Run: %v", err)
	}
}
