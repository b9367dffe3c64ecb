package crilog

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dhow/internal/logtest"
)

const sample = `2026-01-01T00:00:01Z stdout F one
2026-01-01T00:00:02Z stderr F two
2026-01-01T00:00:03Z stdout P thr
2026-01-01T00:00:03Z stdout F ee
2026-01-01T00:00:04Z stdout F four
`

func logFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "0.log")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string, o Options) (out, errs string) {
	t.Helper()
	var a, b bytes.Buffer
	if err := Read(context.Background(), path, o, &a, &b); err != nil {
		t.Fatal(err)
	}
	return a.String(), b.String()
}

func TestLinesComeByStreamAndWhole(t *testing.T) {
	out, errs := read(t, logFile(t, sample), All())
	if out != "one\nthree\nfour\n" || errs != "two\n" {
		t.Errorf("stdout %q, stderr %q", out, errs)
	}
}

func TestOptionsChooseWhatIsRead(t *testing.T) {
	path := logFile(t, sample)
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"tail":       {func(o *Options) { o.Tail = 1 }, "four\n"},
		"tail none":  {func(o *Options) { o.Tail = 0 }, ""},
		"tail more":  {func(o *Options) { o.Tail = 100 }, "one\nthree\nfour\n"},
		"since":      {func(o *Options) { o.Since = time.Date(2026, 1, 1, 0, 0, 4, 0, time.UTC) }, "four\n"},
		"limit":      {func(o *Options) { o.Limit = 10 }, "one\nth"},
		"timestamps": {func(o *Options) { o.Timestamps, o.Tail = true, 3 }, "2026-01-01T00:00:03Z three\n2026-01-01T00:00:04Z four\n"},
	} {
		o := All()
		c.change(&o)
		if out, _ := read(t, path, o); out != c.want {
			t.Errorf("%s: %q, want %q", name, out, c.want)
		}
	}
}

func TestOlderFilesAreReadFirst(t *testing.T) {
	path := logFile(t, "2026-01-01T00:00:05Z stdout F five\n2026-01-01T00:00:06Z stdout F six\n")
	for name, text := range map[string]string{".2": "2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:00:02Z stdout F two\n", ".1": "2026-01-01T00:00:03Z stdout F three\n2026-01-01T00:00:04Z stdout F four\n"} {
		if err := os.WriteFile(path+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for tail, want := range map[int64]string{
		-1: "one\ntwo\nthree\nfour\nfive\nsix\n", 0: "", 1: "six\n", 2: "five\nsix\n", 3: "four\nfive\nsix\n",
		5: "two\nthree\nfour\nfive\nsix\n", 6: "one\ntwo\nthree\nfour\nfive\nsix\n", 9: "one\ntwo\nthree\nfour\nfive\nsix\n",
	} {
		o := All()
		o.Tail, o.Older = tail, []string{path + ".9", path + ".2", path + ".1"}
		if out, _ := read(t, path, o); out != want {
			t.Errorf("the last %d: %q, want %q", tail, out, want)
		}
	}
}

func TestALineCutOffByACrashIsLeftOut(t *testing.T) {
	if out, _ := read(t, logFile(t, sample+"2026-01-01T00"), All()); !strings.HasSuffix(out, "four\n") {
		t.Errorf("stdout %q", out)
	}
}

func TestFollowingGoesOnThroughRotationUntilTheEnd(t *testing.T) {
	path := logFile(t, "2026-01-01T00:00:01Z stdout F one\n")
	var out logtest.Buffer
	alive := make(chan struct{})
	o := All()
	o.Follow = true
	o.Alive = func() bool {
		select {
		case <-alive:
			return false
		default:
			return true
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- Read(context.Background(), path, o, &out, &out) }()
	waitFor(t, &out, "one\n")
	old, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if _, err := old.WriteString("2026-01-01T00:00:02Z stdout F two\n"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, &out, "one\ntwo\n")
	if err := os.WriteFile(path, []byte("2026-01-01T00:00:03Z stdout F three\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, &out, "one\ntwo\nthree\n")
	close(alive)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, out *logtest.Buffer, want string) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for out.String() != want {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("read %q, want %q", out.String(), want)
		}
	}
}
