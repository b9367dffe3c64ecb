package store

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// childDir names, in the environment, the data that a child of these tests writes to until it is killed.
const childDir = "DHOW_TEST_STORE_CHILD"

const (
	writers    = 6
	crashes    = 20
	crashBound = 8 * time.Minute // on a busy machine
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := writeForEver(dir, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeForEver puts increasing keys and prints each that was acknowledged.
func writeForEver(dir string, acknowledged io.Writer) error {
	s, err := New(Config{Dir: dir})
	if err != nil {
		return err
	}
	if err := s.Ready(context.Background()); err != nil {
		return err
	}
	failed := make(chan error)
	for w := range writers {
		go func() { failed <- s.writeAs(w, acknowledged) }()
	}
	return <-failed
}

func (s *Store) writeAs(writer int, acknowledged io.Writer) error {
	for n := int(count(s, writer)); ; n++ {
		if _, err := s.client.Put(context.Background(), crashKey(writer, n), crashValue(writer, n)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(acknowledged, "%d %d\n", writer, n); err != nil {
			return err
		}
	}
}

func crashKey(writer, n int) string { return fmt.Sprintf("/crash/%d/%08d", writer, n) }

// crashValue differs in length and content from one key to the next.
func crashValue(writer, n int) string {
	return strings.Repeat(fmt.Sprintf("%d-%d,", writer, n), 1+n%200)
}

func count(s *Store, writer int) int64 {
	found, err := s.client.Client.KV.Get(context.Background(), fmt.Sprintf("/crash/%d/", writer), clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0
	}
	return found.Count
}

// killWhileWriting runs a child on dir, ends it with SIGKILL a while after its start, or after its first write, and returns how
// many keys each writer had been told are safe.
func killWhileWriting(t *testing.T, dir string, after time.Duration, written bool, safe *[writers]int) {
	t.Helper()
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), childDir+"="+dir)
	var complaint strings.Builder
	child.Stderr = &complaint
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = child.Process.Kill() })
	defer timer.Stop()
	if written {
		timer.Reset(crashBound)
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line cut in its middle was no promise
		}
		w, n := parseAck(t, line)
		safe[w] = max(safe[w], n+1)
		if written {
			written = false
			timer.Reset(after)
		}
	}
	_ = child.Wait() // it was killed
	if child.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v: %s", child.ProcessState, complaint.String())
	}
}

func parseAck(t *testing.T, line string) (writer, n int) {
	t.Helper()
	first, second, _ := strings.Cut(strings.TrimSpace(line), " ")
	writer, err := strconv.Atoi(first)
	if err == nil {
		n, err = strconv.Atoi(second)
	}
	if err != nil {
		t.Fatalf("child printed %q", line)
	}
	return writer, n
}

// verify opens the data and checks that it holds every safe key, whole.
func verify(t *testing.T, dir string, safe [writers]int) {
	t.Helper()
	s, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatalf("open after a crash: %v", err)
	}
	defer s.Close()
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			found, err := s.client.Client.KV.Get(t.Context(), fmt.Sprintf("/crash/%d/", w), clientv3.WithPrefix())
			if err != nil {
				t.Error(err)
				return
			}
			if len(found.Kvs) < safe[w] {
				t.Errorf("writer %d: %d keys are left of %d acknowledged", w, len(found.Kvs), safe[w])
			}
			for n, kv := range found.Kvs {
				if string(kv.Key) != crashKey(w, n) || string(kv.Value) != crashValue(w, n) {
					t.Errorf("writer %d: at %d there is %s", w, n, kv.Key)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestNoAcknowledgedWriteIsLostWhenTheProcessIsKilledAtAnyMoment(t *testing.T) {
	dir := t.TempDir()
	var safe [writers]int
	started, killedWriting := time.Now(), 0
	for round := range crashes {
		if time.Since(started) > crashBound {
			t.Fatalf("only %d crashes in %v", round, crashBound)
		}
		before := safe
		killWhileWriting(t, dir, 50*time.Millisecond+rand.N(600*time.Millisecond), round%2 == 1, &safe)
		if safe != before {
			killedWriting++
		}
		if round%4 == 3 || round == crashes-1 {
			verify(t, dir, safe)
		}
	}
	if killedWriting < crashes/4 {
		t.Errorf("only %d of %d crashes came while something was written: the test proves little", killedWriting, crashes)
	}
	t.Logf("%d crashes, %d of them while writing, %v keys acknowledged by each writer", crashes, killedWriting, safe)
}
