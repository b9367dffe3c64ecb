// Package events writes down what happens to containers, volumes and networks, and reads it: one file that all processes
// append to, and the one before.
package events

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"dhow/internal/filelock"
)

// Event is something that happened to a container, a volume or a network.
type Event struct {
	Type       string            `json:"type"`
	Action     string            `json:"action"`
	ID         string            `json:"id"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Time       time.Time         `json:"time"`
}

// Log is the events in a directory.
type Log struct{ Dir string }

const (
	file = "events.json"
	// most bytes are kept, and as many of those before.
	most = 1 << 20
)

func (l Log) path() string  { return filepath.Join(l.Dir, file) }
func (l Log) older() string { return l.path() + ".1" }

// Write adds an event.
func (l Log) Write(e Event) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	unlock, err := filelock.Lock(filepath.Join(l.Dir, "events.lock"), filelock.Exclusive)
	if err != nil {
		return err
	}
	defer unlock()
	if info, err := os.Stat(l.path()); err == nil && info.Size() > most {
		if err := os.Rename(l.path(), l.older()); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(l.path(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	return errors.Join(err, f.Close())
}

// Of gives what happened to one thing, the oldest first. What else there is it does not decode, which would take some ten
// milliseconds.
func (l Log) Of(id string, each func(Event) error) error {
	pass := func(e Event) error {
		if e.ID != id {
			return nil
		}
		return each(e)
	}
	return errors.Join(readFile(l.older(), []byte(id), pass), readFile(l.path(), []byte(id), pass))
}

// Follow gives those since a time, and goes on until a time, or for ever if that is zero, or until ctx ends.
func (l Log) Follow(ctx context.Context, since, until time.Time, each func(Event) error) error {
	if !until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	pass := func(e Event) error {
		if e.Time.Before(since) || !until.IsZero() && e.Time.After(until) {
			return nil
		}
		return each(e)
	}
	changes, err := watch(l.Dir)
	if err != nil {
		return err
	}
	defer changes.Close()
	if err := readFile(l.older(), nil, pass); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path(), os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	reader := bufio.NewReader(f)
	for {
		if err := drain(reader, nil, pass); err != nil {
			return err
		}
		if next, err := replaced(f, l.path()); err == nil && next != nil {
			if err := drain(reader, nil, pass); err != nil {
				return err
			}
			f.Close()
			f = next
			reader.Reset(f)
			continue
		}
		if err := changes.wait(ctx); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// replaced opens the file that has taken the place of f, if one has.
func replaced(f *os.File, path string) (*os.File, error) {
	mine, err := f.Stat()
	if err != nil {
		return nil, err
	}
	now, err := os.Stat(path)
	if err != nil || os.SameFile(mine, now) {
		return nil, err
	}
	return os.Open(path)
}

func readFile(path string, with []byte, each func(Event) error) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return drain(bufio.NewReader(f), with, each)
}

// drain reads up to the end, lines with these bytes in them. Lines are written whole.
func drain(r *bufio.Reader, with []byte, each func(Event) error) error {
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var e Event
		if !bytes.Contains(line, with) || json.Unmarshal(line, &e) != nil {
			continue // another's, or cut off by a crash
		}
		if err := each(e); err != nil {
			return err
		}
	}
}
