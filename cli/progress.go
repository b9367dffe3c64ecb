package cli

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"dhow/cli/output"
	"dhow/image"
)

// words are how docker calls the states of a layer.
type words map[string]string

var (
	pullWords = words{
		"waiting": "Pulling fs layer", "downloading": "Downloading", "extracting": "Extracting", "done": "Pull complete",
		"exists": "Already exists",
	}
	pushWords = words{
		"preparing": "Preparing", "uploading": "Pushing", "pushed": "Pushed", "mounted": "Mounted", "exists": "Layer already exists",
	}
	loadWords = words{"extracting": "Loading layer", "done": "Loaded", "exists": "Layer already exists"}
)

// progress shows a pull, push or load: a line for each layer that is drawn anew on a terminal, a line for each change
// elsewhere.
type progress struct {
	env      *environment
	quiet    bool
	words    words
	terminal bool

	mu     sync.Mutex
	layers []string // in order of appearance
	state  map[string]image.Progress
	drawn  int
}

func newProgress(env *environment, quiet bool, w words) *progress {
	f, isFile := env.Stdout.(*os.File)
	return &progress{
		env: env, quiet: quiet, words: w, terminal: isFile && term.IsTerminal(int(f.Fd())),
		state: map[string]image.Progress{},
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
	switch {
	case p.terminal:
		p.draw()
	case moving(now):
	case !known || before.Status != now.Status:
		fmt.Fprintln(p.env.Stdout, p.describe(now))
	}
}

// moving states change too often for plain lines.
func moving(l image.Progress) bool {
	return l.Status == "downloading" || l.Status == "uploading" || l.Status == "extracting"
}

// draw moves up over what was drawn before. The caller holds mu.
func (p *progress) draw() {
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	for _, digest := range p.layers {
		fmt.Fprintf(&b, "\r\x1b[K%s\n", p.describe(p.state[digest]))
	}
	p.drawn = len(p.layers)
	fmt.Fprint(p.env.Stdout, b.String())
}

// end leaves the last picture.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drawn = 0
}

// barWidth is docker's.
const barWidth = 50

func (p *progress) describe(l image.Progress) string {
	name := short(strings.TrimPrefix(l.Digest, "sha256:"))
	text := p.words[l.Status]
	if text == "" {
		text = l.Status
	}
	if !moving(l) || l.Total <= 0 {
		return name + ": " + text
	}
	full := int(min(l.Done, l.Total) * barWidth / l.Total)
	bar := strings.Repeat("=", full)
	if full < barWidth {
		bar += ">" + strings.Repeat(" ", barWidth-full-1)
	}
	return fmt.Sprintf("%s: %s [%s] %s/%s", name, text, bar, output.Size(uint64(l.Done)), output.Size(uint64(l.Total)))
}
