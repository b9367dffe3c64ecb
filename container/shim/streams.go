package shim

import (
	"io"
	"os"
	"sync"
	"time"
)

// fanout copies a container's output to its log and to whoever is attached.
type fanout struct {
	log io.WriteCloser

	mu      sync.Mutex
	clients map[io.Writer]struct{}
}

func newFanout(log io.WriteCloser) *fanout {
	return &fanout{log: log, clients: map[io.Writer]struct{}{}}
}

// add attaches a client until remove is called, or until it takes nothing for ten seconds.
func (f *fanout) add(w io.Writer) (remove func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clients[w] = struct{}{}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.clients, w)
	}
}

const patience = 10 * time.Second

// copy reads until the end of from.
func (f *fanout) copy(from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			_, _ = f.log.Write(buffer[:n]) // a full disk must not stop the container
			f.toClients(buffer[:n])
		}
		if err != nil {
			_ = f.log.Close() // the last line may have no end
			return
		}
	}
}

func (f *fanout) toClients(data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.clients {
		if file, ok := w.(*os.File); ok {
			_ = file.SetWriteDeadline(time.Now().Add(patience))
		}
		if _, err := w.Write(data); err != nil {
			delete(f.clients, w)
		}
	}
}

// Close forgets the clients. It works on a nil fanout, as a container that never started has.
func (f *fanout) Close() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.clients)
	return nil
}

// input is the writing end of a container's stdin; without a file it takes everything and keeps nothing.
type input struct {
	mu   sync.Mutex
	file *os.File
}

func newInput(f *os.File) *input { return &input{file: f} }

func (i *input) Write(p []byte) (int, error) {
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
