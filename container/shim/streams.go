package shim

import (
	"io"
	"os"
	"sync"
	"time"
)

// audience is whoever is attached to one of a container's outputs, from run to run. The zero value is nobody.
type audience struct {
	mu      sync.Mutex
	clients map[io.Writer]struct{}
}

// add attaches a client until remove is called, or until it takes nothing for ten seconds.
func (a *audience) add(w io.Writer) (remove func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.clients == nil {
		a.clients = map[io.Writer]struct{}{}
	}
	a.clients[w] = struct{}{}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.clients, w)
	}
}

const patience = 10 * time.Second

func (a *audience) hear(data []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for w := range a.clients {
		if file, ok := w.(*os.File); ok {
			_ = file.SetWriteDeadline(time.Now().Add(patience))
		}
		if _, err := w.Write(data); err != nil {
			delete(a.clients, w)
		}
	}
}

func (a *audience) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.clients)
}

// fanout copies an output of one run to the container's log and to whoever is attached.
type fanout struct {
	log io.WriteCloser
	to  *audience
}

// copy reads until the end of from.
func (f *fanout) copy(from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			_, _ = f.log.Write(buffer[:n]) // a full disk must not stop the container
			f.to.hear(buffer[:n])
		}
		if err != nil {
			_ = f.log.Close() // the last line may have no end
			return
		}
	}
}

// input is the writing end of a container's stdin; without a file it takes everything and keeps nothing.
type input struct {
	mu   sync.Mutex
	file *os.File
}

func newInput(f *os.File) *input { return &input{file: f} }

func (i *input) Write(p []byte) (int, error) {
	if i == nil {
		return len(p), nil
	}
	i.mu.Lock()
	f := i.file
	i.mu.Unlock()
	if f == nil {
		return len(p), nil
	}
	return f.Write(p)
}

func (i *input) Close() error {
	if i == nil {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.file == nil {
		return nil
	}
	err := i.file.Close()
	i.file = nil
	return err
}
