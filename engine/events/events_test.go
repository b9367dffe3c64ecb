package events

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var errEnough = errors.New("enough")

func TestFollowersHearWhatIsWrittenThroughANewFile(t *testing.T) {
	l := Log{Dir: t.TempDir()}
	if err := l.Write(Event{ID: "before", Time: time.Now()}); err != nil {
		t.Fatal(err)
	}
	ready, heard := make(chan struct{}), make(chan string, 16)
	ended := make(chan error, 1)
	go func() {
		ended <- l.Follow(t.Context(), time.Time{}, time.Time{}, func(e Event) error {
			if e.ID == "before" {
				close(ready)
				return nil
			}
			heard <- e.ID
			if e.ID == "last" {
				return errEnough
			}
			return nil
		})
	}()
	<-ready
	write := func(id string) {
		t.Helper()
		if err := l.Write(Event{ID: id, Time: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	if id := <-heard; id != "one" {
		t.Fatal(id)
	}
	if err := os.Truncate(filepath.Join(l.Dir, file), most+1); err != nil { // the next one begins a new file
		t.Fatal(err)
	}
	write("two")
	write("last")
	if err := <-ended; !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	if a, b := <-heard, <-heard; a != "two" || b != "last" {
		t.Errorf("heard %s, %s", a, b)
	}
	if _, err := os.Stat(l.older()); err != nil {
		t.Error(err)
	}
}

func TestTimesBoundWhatIsFollowed(t *testing.T) {
	l := Log{Dir: t.TempDir()}
	begin := time.Now().Add(-time.Hour)
	for n := range 5 {
		if err := l.Write(Event{ID: fmt.Sprint(n), Time: begin.Add(time.Duration(n) * time.Minute)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(l.older(), []byte("{\"id\":\"cut"), 0o600); err != nil { // by a crash
		t.Fatal(err)
	}
	var got []string
	err := l.Follow(t.Context(), begin.Add(time.Minute), begin.Add(3*time.Minute), func(e Event) error {
		got = append(got, e.ID)
		return nil
	})
	if err != nil || fmt.Sprint(got) != "[1 2 3]" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestFollowingEndsWithItsContext(t *testing.T) {
	l := Log{Dir: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Follow(ctx, time.Time{}, time.Time{}, func(Event) error { return nil }) }()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWhatHappenedToOneThingIsFoundInBothFiles(t *testing.T) {
	l := Log{Dir: t.TempDir()}
	for _, id := range []string{"one", "other", "another that mentions one", "one"} {
		if err := l.Write(Event{ID: id, Action: "a" + id}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(l.path(), l.older()); err != nil {
		t.Fatal(err)
	}
	if err := l.Write(Event{ID: "one", Action: "last"}); err != nil {
		t.Fatal(err)
	}
	var actions []string
	if err := l.Of("one", func(e Event) error {
		actions = append(actions, e.Action)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(actions) != "[aone aone last]" {
		t.Errorf("%v", actions)
	}
}
