package shim

import (
	"io"
	"os"
)

// early is a client that attaches before the container starts, so that it misses nothing.
type early struct {
	out, errs     io.Writer
	width, height uint16
	begun         chan *container // gets the container when it has started, nil if it cannot
}

// attachEarly is attach to a container that is about to start; it answers as soon as the client is put down.
func (s *server) attachEarly(conn Conn, r Request, files []*os.File) (Reply, error) {
	if _, err := s.find(r.Container); err == nil {
		return s.attach(conn, r, files)
	}
	in, out, errs := streamsOf(r, files)
	e := &early{out: out, errs: errs, width: r.Width, height: r.Height, begun: make(chan *container, 1)}
	s.mu.Lock()
	if s.early == nil {
		s.early = map[string][]*early{}
	}
	s.early[r.Container] = append(s.early[r.Container], e)
	s.mu.Unlock()
	if err := conn.Send(Reply{}); err != nil {
		return Reply{}, nil
	}
	sizes, gone := followClient(conn)
	var c *container
	for c == nil {
		select {
		case c = <-e.begun:
			if c == nil {
				return Reply{}, nil
			}
			defer c.depart()
		case size := <-sizes:
			s.mu.Lock()
			e.width, e.height = size.Width, size.Height
			s.mu.Unlock()
		case <-gone:
			return Reply{}, nil
		}
	}
	go func() {
		for size := range sizes {
			c.resize(size)
		}
	}()
	c.attachUntil(gone, in, nil, nil)
	return Reply{}, nil
}

// streamsOf takes a request's descriptors apart.
func streamsOf(r Request, files []*os.File) (in *os.File, out, errs io.Writer) {
	i := 0
	take := func(has bool) *os.File {
		if !has || i >= len(files) {
			return nil
		}
		i++
		return files[i-1]
	}
	in = take(r.Input)
	if f := take(r.Output); f != nil {
		out = f
	}
	if f := take(r.Errors); f != nil {
		errs = f
	}
	return in, out, errs
}

// followClient delivers the sizes that a client sends, and closes both channels when it goes.
func followClient(conn Conn) (sizes chan Request, gone chan struct{}) {
	sizes, gone = make(chan Request, 1), make(chan struct{})
	go func() {
		defer close(gone)
		defer close(sizes)
		for {
			var r Request
			files, err := conn.Receive(&r)
			closeAll(files)
			if err != nil {
				return
			}
			if r.Op != OpResize {
				continue
			}
			select {
			case sizes <- r:
			default: // the next one will do
			}
		}
	}()
	return sizes, gone
}

// admit gives those who wait for a container its outputs, before its command can write.
func (s *server) admit(c *container, tty *os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.early[c.spec.ID] {
		c.arrive()
		if e.out != nil {
			c.out.add(e.out)
		}
		if e.errs != nil {
			c.errs.add(e.errs)
		}
		if tty != nil && e.width > 0 {
			c.keepSize(e.width, e.height)
		}
	}
}

// begin tells them that it has started; nil: that it will not.
func (s *server) begin(id string, c *container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.early[id] {
		e.begun <- c
	}
	delete(s.early, id)
}

// resize gives the container's terminal a size, and those of its next runs.
func (c *container) resize(size Request) {
	c.keepSize(size.Width, size.Height)
	c.fit(c.current().tty)
}

func (c *container) keepSize(width, height uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.width, c.height = width, height
}

// fit gives a terminal the size that was last asked for, if one was.
func (c *container) fit(tty *os.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if tty != nil && c.width > 0 {
		_ = resize(tty, c.width, c.height)
	}
}
