package cli

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"dhow/image"
)

// progress shows a pull on standard error: a line for each layer that is drawn anew on a terminal, plain lines
// elsewhere.
type progress struct {
	env      *environment
	quiet    bool
	terminal bool

	mu     sync.Mutex
	layers []string // in order of appearance
	state  map[string]image.Progress
	told   map[string]time.Time
	drawn  int
}

func newProgress(env *environment, quiet bool) *progress {
	f, isFile := env.Stderr.(*os.File)
	return &progress{
		env: env, quiet: quiet, terminal: isFile && term.IsTerminal(int(f.Fd())),
		state: map[string]image.Progress{}, told: map[string]time.Time{},
	}
}

func (p *progress) update(now image.Progress) {
	if p.quiet {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before, known := p.state[now.Digest]
	if !known {
		p.layers = append(p.layers, now.Digest)
	}
	p.state[now.Digest] = now
	if p.terminal {
		p.draw()
		return
	}
	if !known || before.Status != now.Status || time.Since(p.told[now.Digest]) > progressEvery {
		p.told[now.Digest] = time.Now()
		fmt.Fprintln(p.env.Stderr, describeLayer(now))
	}
}

// draw moves up over what was drawn before. The caller holds mu.
func (p *progress) draw() {
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	for _, digest := range p.layers {
		fmt.Fprintf(&b, "\r\x1b[K%s\n", describeLayer(p.state[digest]))
	}
	p.drawn = len(p.layers)
	fmt.Fprint(p.env.Stderr, b.String())
}

// end leaves the last picture.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drawn = 0
}

func describeLayer(l image.Progress) string {
	name := short(strings.TrimPrefix(l.Digest, "sha256:"))
	if l.Status != "downloading" || l.Total <= 0 {
		return name + ": " + l.Status
	}
	return fmt.Sprintf("%s: %s %s/%s", name, l.Status, bytesText(uint64(l.Done)), bytesText(uint64(l.Total)))
}
