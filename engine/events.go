package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Event is something that happened to a container, a volume or a network.
type Event struct {
	Type       string            `json:"type"`
	Action     string            `json:"action"`
	ID         string            `json:"id"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Time       time.Time         `json:"time"`
}

const (
	eventsFile = "events.json"
	// eventsMax bytes are kept, and as many of those before.
	eventsMax = 1 << 20
)

func (s *Service) event(c *Container, action string, more map[string]string) {
	attributes := maps.Clone(c.Run.Labels)
	if attributes == nil {
		attributes = map[string]string{}
	}
	attributes["name"], attributes["image"] = c.Name, c.Spec.Image
	maps.Copy(attributes, more)
	s.emit("container", action, c.ID, attributes)
}

// emit writes an event down for whoever follows them. That it cannot be is told of, and no reason to stop.
func (s *Service) emit(kind, action, id string, attributes map[string]string) {
	if err := s.writeEvent(Event{Type: kind, Action: action, ID: id, Attributes: attributes, Time: time.Now()}); err != nil {
		s.log.Error("event cannot be written", "kind", kind, "err", err)
	}
}

func (s *Service) writeEvent(e Event) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(s.config.Dir, "events.lock"), unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	path := filepath.Join(s.config.Dir, eventsFile)
	if info, err := os.Stat(path); err == nil && info.Size() > eventsMax {
		if err := os.Rename(path, path+".1"); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	return errors.Join(err, f.Close())
}

// Events gives those since a time, and goes on until a time, or for ever if that is zero, or until ctx ends.
func (s *Service) Events(ctx context.Context, since, until time.Time, each func(Event) error) error {
	path := filepath.Join(s.config.Dir, eventsFile)
	pass := func(e Event) error {
		if e.Time.Before(since) || !until.IsZero() && e.Time.After(until) {
			return nil
		}
		return each(e)
	}
	if err := readEvents(path+".1", pass); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	reader := bufio.NewReader(f)
	for {
		if err := drainEvents(reader, pass); err != nil {
			return err
		}
		if !until.IsZero() && time.Now().After(until) || ctx.Err() != nil {
			return nil
		}
		if next, err := replacedBy(f, path); err == nil && next != nil {
			if err := drainEvents(reader, pass); err != nil {
				return err
			}
			f.Close()
			f = next
			reader.Reset(f)
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// replacedBy opens the file that has taken the place of f, if one has.
func replacedBy(f *os.File, path string) (*os.File, error) {
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

func readEvents(path string, each func(Event) error) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return drainEvents(bufio.NewReader(f), each)
}

// drainEvents reads up to the end. Lines are written whole.
func drainEvents(r *bufio.Reader, each func(Event) error) error {
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var e Event
		if json.Unmarshal(line, &e) != nil {
			continue // cut off by a crash
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

// lastWords is the exit code of a container that is gone.
func (s *Service) lastWords(id string) int {
	code := 0
	look := func(e Event) error {
		if e.ID == id && e.Action == "die" {
			code, _ = strconv.Atoi(e.Attributes["exitCode"])
		}
		return nil
	}
	path := filepath.Join(s.config.Dir, eventsFile)
	_ = errors.Join(readEvents(path+".1", look), readEvents(path, look))
	return code
}
