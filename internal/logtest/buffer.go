// Package logtest holds what a test reads while something else still writes it: a log, the output of a process.
package logtest

import (
	"bytes"
	"strings"
	"sync"
)

// Buffer may be written and read at once. The zero value is empty.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String is all that has been written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Has says whether what was written contains text.
func (b *Buffer) Has(text string) bool { return strings.Contains(b.String(), text) }
