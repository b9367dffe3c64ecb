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
	path  string
	max   int64 // bytes; 0: no limit
	files int   // this one and older ones

	mu   sync.Mutex
	file *os.File // nil: nothing is kept
	size int64
}

const (
	lineLimit  = 16 << 10
	timeFormat = "2006-01-02T15:04:05.000000000Z07:00"
)

func openLog(path string, limit int64, files int) (*logFile, error) {
	l := &logFile{path: path, max: limit, files: max(files, 1)}
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
	return l.use(f)
}

// use goes on in another file. The caller holds mu.
func (l *logFile) use(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("open log: %w", err)
	}
	if l.file != nil {
		l.file.Close()
	}
	l.file, l.size = f, info.Size()
	return nil
}

// rotate begins a new file: c.log becomes c.log.1, which becomes c.log.2, and so on. The caller holds mu.
func (l *logFile) rotate() error {
	older := func(n int) string {
		if n == 0 {
			return l.path
		}
		return fmt.Sprintf("%s.%d", l.path, n)
	}
	for n := l.files - 1; n > 0; n-- {
		if err := os.Rename(older(n-1), older(n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("rotate log: %w", err)
		}
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	return l.use(f)
}

func (l *logFile) write(data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil || len(data) == 0 {
		return nil
	}
	var failed error
	if l.max > 0 && l.size > 0 && l.size+int64(len(data)) > l.max {
		failed = l.rotate() // it goes on in the old file then
	}
	n, err := l.file.Write(data)
	l.size += int64(n)
	return errors.Join(failed, err)
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

// batch is how much is gathered for one write: many short lines are much longer in the log. A small file takes less.
func (l *logFile) batch() int {
	const most = 64 << 10
	if l.max > 0 && l.max < 4*most {
		return int(l.max / 4)
	}
	return most
}

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
		if len(w.out) > w.log.batch() {
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
