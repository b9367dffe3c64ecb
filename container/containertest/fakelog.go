package containertest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// criLog writes a log in CRI's format; without a path it keeps nothing.
type criLog struct {
	path string
	mu   sync.Mutex
	file *os.File
}

func (l *criLog) open() error {
	if l.path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err = l.closeFile()
	l.file = file
	return err
}

func (l *criLog) closeFile() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

func (l *criLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closeFile()
}

func (l *criLog) line(stream, tag string, text []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	_, err := fmt.Fprintf(l.file, "%s %s %s %s\n", time.Now().Format("2006-01-02T15:04:05.000000000Z07:00"), stream, tag, text)
	return err
}

// lineLimit is the longest line that is not logged in parts.
const lineLimit = 16 << 10

// logged is a stream of a container that goes into its log and to those who are attached.
type logged struct {
	log    *criLog
	stream string
	open   []byte // a line that has not ended

	mu       sync.Mutex
	attached []io.Writer
}

// Write implements io.Writer. One stream has one writer.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	for _, w := range l.attached {
		_, _ = w.Write(p)
	}
	l.mu.Unlock()
	l.open = append(l.open, p...)
	for {
		end := bytes.IndexByte(l.open, '\n')
		switch {
		case end >= 0 && end <= lineLimit:
			if err := l.log.line(l.stream, "F", l.open[:end]); err != nil {
				return 0, err
			}
			l.open = l.open[end+1:]
		case len(l.open) > lineLimit:
			if err := l.log.line(l.stream, "P", l.open[:lineLimit]); err != nil {
				return 0, err
			}
			l.open = l.open[lineLimit:]
		default:
			return len(p), nil
		}
	}
}

// end keeps what has no end of line.
func (l *logged) end() error {
	if len(l.open) == 0 {
		return nil
	}
	return l.log.line(l.stream, "P", l.open)
}

func (l *logged) attach(w io.Writer) {
	if w == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attached = append(l.attached, w)
}

func (l *logged) detach(w io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, have := range l.attached {
		if have == w {
			l.attached = append(l.attached[:i:i], l.attached[i+1:]...)
			return
		}
	}
}
