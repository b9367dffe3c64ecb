package memory

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
)

// resident is one of the kinds of memory that this process has in use, in KiB.
func resident(t *testing.T, kind string) int {
	t.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); fields[0] == kind+":" {
			n, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("/proc/self/status has no %s", kind)
	return 0
}

// touch reads this program's whole file through its mappings' page cache, and runs some of it.
func touch(t *testing.T) {
	t.Helper()
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(exe, []byte("\x7fELF")) {
		t.Error("this program's file is no program")
	}
}

func TestPagesOfTheProgramsFileAreGivenBackAndComeBack(t *testing.T) {
	touch(t)
	before := resident(t, "RssFile")
	if err := dropText(); err != nil {
		t.Fatal(err)
	}
	if after := resident(t, "RssFile"); after >= before {
		t.Errorf("%d KiB of files before, %d after", before, after)
	}
	touch(t)
}

func TestFreedHeapIsGivenBackAWhileAfterTheStart(t *testing.T) {
	waste := make([]byte, 64<<20)
	for i := range waste {
		waste[i] = 1
	}
	before := resident(t, "RssAnon")
	runtime.KeepAlive(waste)
	waste = nil
	giveBack(slog.New(slog.DiscardHandler))
	if after := resident(t, "RssAnon"); before-after < 48<<10 {
		t.Errorf("%d KiB before, %d after", before, after)
	}
}

func TestPacingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go Pace(ctx, slog.New(slog.DiscardHandler))
		synctest.Wait()
		cancel()
	})
}

func TestTheCollectorRestsWhileTheProgramStarts(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) })
	Limit()
	if now := debug.SetGCPercent(100); now != startPercent {
		t.Errorf("GC percent is %d", now)
	}
}
