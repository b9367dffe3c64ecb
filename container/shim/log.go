package shim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// logFile is a container's log in CRI format: "<RFC 3339 time> <stream> <F or P> <line>". P is a part of a line
// longer than lineLimit.
type logFile struct {
	path string

	mu   sync.Mutex
	file *os.File // nil: nothing is kept
}

const (
	lineLimit  = 16 << 10
	timeFormat = "2006-01-02T15:04:05.000000000Z07:00"
)

func openLog(path string) (*logFile, error) {
	l := &logFile{path: path}
	return l, l.reopen()
}

// reopen goes on in a new file at the path, after the old one was moved away. Once the new one exists, nothing is
// written to the old one.
func (l *logFile) reopen() error {
	if l.path == "" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	if l.file != nil {
		l.file.Close()
	}
	l.file = f
	return nil
}

func (l *logFile) write(data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil || len(data) == 0 {
		return nil
	}
	_, err := l.file.Write(data)
	return err
}

// Close implements io.Closer; nil is fine.
func (l *logFile) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// stream writes one of the container's outputs to the log.
func (l *logFile) stream(name string) io.WriteCloser {
	return &lines{log: l, name: name}
}

// batch is how much of a log is gathered for one write: many short lines are much longer in the log.
const batch = 64 << 10

// lines cuts output into log lines: one time for all that came with one read, and one write if it is not too much.
type lines struct {
	log  *logFile
	name string
	rest []byte // of a line whose end has not come
	out  []byte
}

// Write implements io.Writer; it keeps an unfinished line back.
func (w *lines) Write(p []byte) (int, error) {
	prefix := time.Now().UTC().Format(timeFormat) + " " + w.name + " "
	w.out = w.out[:0]
	var failed error
	for data := p; len(data) > 0; {
		end := bytes.IndexByte(data, '\n')
		line := data
		if end >= 0 {
			line = data[:end]
		}
		data = data[len(line):]
		w.rest = append(w.rest, line...)
		for len(w.rest) > lineLimit {
			w.put(prefix, 'P', w.rest[:lineLimit])
			w.rest = append(w.rest[:0], w.rest[lineLimit:]...)
		}
		if end >= 0 {
			w.put(prefix, 'F', w.rest)
			w.rest, data = w.rest[:0], data[1:]
		}
		if len(w.out) > batch {
			failed = errors.Join(failed, w.log.write(w.out))
			w.out = w.out[:0]
		}
	}
	return len(p), errors.Join(failed, w.log.write(w.out))
}

func (w *lines) put(prefix string, tag byte, line []byte) {
	w.out = append(w.out, prefix...)
	w.out = append(w.out, tag, ' ')
	w.out = append(w.out, line...)
	w.out = append(w.out, '\n')
}

// Close writes what came after the last whole line, as a part: readers add no end that was not there.
func (w *lines) Close() error {
	if len(w.rest) == 0 {
		return nil
	}
	w.out = w.out[:0]
	w.put(time.Now().UTC().Format(timeFormat)+" "+w.name+" ", 'P', w.rest)
	w.rest = w.rest[:0]
	return w.log.write(w.out)
}
