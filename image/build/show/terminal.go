package show

import (
	"fmt"
	"strings"
	"time"
)

// drawEvery is how often times are drawn anew.
const drawEvery = 150 * time.Millisecond

// outputLines is how many lines of a running step's output are shown under it.
const outputLines = 6

func (d *Display) redraw() {
	tick := time.NewTicker(drawEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.mu.Lock()
			d.draw()
			d.mu.Unlock()
		case <-d.stop:
			return
		}
	}
}

// draw moves up over what was drawn before. The caller holds mu.
func (d *Display) draw() {
	width := 80
	if d.width != nil {
		width = max(d.width(), 20)
	}
	done := 0
	var lines []string
	for _, s := range d.steps {
		if !s.ended.IsZero() {
			done++
		}
		lines = append(lines, s.row(width))
		if s.ended.IsZero() {
			for _, line := range s.tail[max(0, len(s.tail)-outputLines):] {
				lines = append(lines, cut(" => => # "+line, width))
			}
		}
	}
	head := fmt.Sprintf("[+] Building %.1fs (%d/%d)", time.Since(d.begun).Seconds(), done, len(d.steps))
	if done == len(d.steps) {
		head += " FINISHED"
	}
	var b strings.Builder
	if d.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", d.drawn)
	}
	for _, line := range append([]string{head}, lines...) {
		b.WriteString("\r\x1b[K" + line + "\n")
	}
	b.WriteString("\x1b[J")
	d.drawn = len(lines) + 1
	fmt.Fprint(d.out, b.String())
}

func (s *Step) row(width int) string {
	until := s.ended
	if until.IsZero() {
		until = time.Now()
	}
	name := s.name
	switch {
	case strings.HasPrefix(s.state, "ERROR"):
		name = "ERROR " + name
	case s.state != "":
		name = s.state + " " + name
	}
	took := fmt.Sprintf("%.1fs", until.Sub(s.begun).Seconds())
	left := cut(" => "+name, width-len(took)-1)
	return left + strings.Repeat(" ", max(1, width-len([]rune(left))-len(took))) + took
}

// cut makes a line fit.
func cut(line string, width int) string {
	runes := []rune(strings.ReplaceAll(line, "\x1b", ""))
	if len(runes) <= width {
		return string(runes)
	}
	return string(runes[:max(width-1, 0)]) + "…"
}
