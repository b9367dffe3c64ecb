// Package show tells a user how a build goes, as buildkit does: in plain lines, or drawn anew on a terminal.
package show

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Display shows steps. Its methods may be called concurrently; a nil Display shows nothing.
type Display struct {
	out   io.Writer
	mode  Mode
	width func() int

	mu      sync.Mutex
	begun   time.Time
	steps   []*Step
	last    *Step // who wrote last, of plain lines
	drawn   int   // lines on the terminal
	stop    chan struct{}
	stopped sync.WaitGroup
}

// Mode is how a Display writes.
type Mode string

// The modes.
const (
	Plain    Mode = "plain"
	Terminal Mode = "tty"
	Quiet    Mode = "quiet"
	RawJSON  Mode = "rawjson"
)

// Step is one thing that is done.
type Step struct {
	display *Display
	number  int
	name    string
	begun   time.Time
	ended   time.Time
	state   string // "", "CACHED", "ERROR", "CANCELED"
	partial []byte
	tail    []string // the last lines of its output
	times   bool     // output has the seconds in front
}

// New makes a display. width is a terminal's, for each drawing.
func New(out io.Writer, mode Mode, width func() int) *Display {
	d := &Display{out: out, mode: mode, width: width, begun: time.Now(), stop: make(chan struct{})}
	if mode == Terminal {
		d.stopped.Go(d.redraw)
	}
	return d
}

// Step begins a step.
func (d *Display) Step(name string) *Step {
	s := &Step{display: d, name: name, begun: time.Now()}
	if d == nil {
		return s
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps = append(d.steps, s)
	s.number = len(d.steps)
	switch d.mode {
	case Plain:
		d.turn(s)
		d.line(s, "%s", name)
	case Terminal:
		d.draw()
	case RawJSON:
		d.raw(s)
	}
	return s
}

// turn parts the lines of steps from one another. The caller holds mu.
func (d *Display) turn(s *Step) {
	if d.last == s {
		return
	}
	if d.last != nil {
		fmt.Fprintln(d.out)
	}
	if d.last != nil && s.state == "" && len(s.tail) > 0 {
		d.line(s, "%s", s.name) // it was interrupted by others
	}
	d.last = s
}

func (d *Display) line(s *Step, format string, a ...any) {
	fmt.Fprintf(d.out, "#%d %s\n", s.number, fmt.Sprintf(format, a...))
}

// tailMost is how many lines of a step's output are kept for the report of its failure.
const tailMost = 20

// lineMost bounds what is kept of a line that does not end.
const lineMost = 64 << 10

// Write shows output of the step's command.
func (s *Step) Write(p []byte) (int, error) {
	s.output(p, true)
	return len(p), nil
}

// Status shows a line about the step.
func (s *Step) Status(format string, a ...any) {
	s.output([]byte(fmt.Sprintf(format, a...)+"\n"), false)
}

func (s *Step) output(p []byte, timed bool) {
	d := s.display
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s.times = timed
	s.partial = append(s.partial, p...)
	for {
		line, rest, ok := bytes.Cut(s.partial, []byte("\n"))
		if !ok && len(s.partial) > lineMost {
			line, rest, ok = s.partial[:lineMost], s.partial[lineMost:], true
		}
		if !ok {
			break
		}
		s.say(string(line))
		s.partial = rest
	}
}

// say shows one line. The caller holds mu.
func (s *Step) say(line string) {
	if at := strings.LastIndexByte(strings.TrimRight(line, "\r"), '\r'); at >= 0 { // only what remained of it
		line = line[at+1:]
	}
	line = strings.TrimRight(line, "\r")
	if s.display.mode == RawJSON {
		s.display.rawLine(s, line)
	}
	if s.times {
		line = fmt.Sprintf("%.3f %s", time.Since(s.begun).Seconds(), line)
	}
	if s.display.mode == Plain {
		s.display.turn(s)
		s.display.line(s, "%s", line)
	}
	s.tail = append(s.tail, line)
	if len(s.tail) > tailMost {
		s.tail = s.tail[1:]
	}
}

// Cached ends the step: it needed not be done.
func (s *Step) Cached() { s.end("CACHED") }

// End ends the step; err tells why it failed, if it did.
func (s *Step) End(err error) {
	if err != nil {
		s.end("ERROR: " + err.Error())
		return
	}
	s.end("")
}

// Canceled ends the step: another has failed.
func (s *Step) Canceled() { s.end("CANCELED") }

func (s *Step) end(state string) {
	d := s.display
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !s.ended.IsZero() {
		return
	}
	if len(s.partial) > 0 {
		s.say(string(s.partial))
		s.partial = nil
	}
	s.state, s.ended = state, time.Now()
	switch d.mode {
	case Plain:
		d.turn(s)
		if state == "" {
			state = fmt.Sprintf("DONE %.1fs", s.ended.Sub(s.begun).Seconds())
		}
		d.line(s, "%s", state)
	case Terminal:
		d.draw()
	case RawJSON:
		d.raw(s)
	}
}

// Tail is what the step's command wrote last, for the report of its failure.
func (s *Step) Tail() string {
	var b strings.Builder
	fmt.Fprintf(&b, "------\n > %s:\n", s.name)
	for _, line := range s.tail {
		b.WriteString(line + "\n")
	}
	b.WriteString("------\n")
	return b.String()
}

// Close leaves the last picture.
func (d *Display) Close() {
	if d == nil || d.mode != Terminal {
		return
	}
	close(d.stop)
	d.stopped.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draw()
}
