package resolver

import (
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Address is where a container asks, at Port 53.
var Address = [4]byte{127, 0, 0, 11}

// Port of DNS servers.
const Port = 53

const (
	longestQuery = 4096
	datagram     = 512 // what a client without extensions can take (RFC 1035, 4.2.1)

	// At once: queries that wait for other servers, and connections.
	mostForwards    = 64
	mostConnections = 32
	// idle is how long a connection may say nothing.
	idle = 10 * time.Second
)

// Server is the DNS server.
type Server struct {
	datagrams, streams    *os.File
	port                  int
	hosts                 hosts
	forwards, connections chan struct{} // one for each that is under way
	turn                  atomic.Uint32
	closed                chan struct{}
	patience              time.Duration
	lastPatience          time.Duration

	mu       sync.Mutex
	upstream []other
}

// Upstream are servers that know other names.
type Upstream struct {
	Addresses []string
	// Namespace is the network that they are asked from; nil: the container's.
	Namespace *os.File
}

type other struct {
	to        unix.Sockaddr
	namespace *os.File
}

// Listen opens a port of Address other than 53, which the container may want at all of its addresses.
func Listen() (*Server, error) {
	s := &Server{
		forwards: make(chan struct{}, mostForwards), connections: make(chan struct{}, mostConnections), closed: make(chan struct{}),
		patience: patience, lastPatience: lastPatience,
	}
	var err error
	s.datagrams, s.streams, s.port, err = listen()
	return s, err
}

// Port is where it listens.
func (s *Server) Port() int { return s.port }

// Use says by which hosts file it answers from now on, and which servers it asks for what is not in there. What is no
// address, or its own, is passed over.
func (s *Server) Use(hostsFile string, others ...Upstream) {
	s.use(hostsFile, Port, others...)
}

func (s *Server) use(hostsFile string, port int, others ...Upstream) {
	var all []other
	for _, o := range others {
		for _, text := range o.Addresses {
			if to := socketAddress(text, port); to != nil {
				all = append(all, other{to, o.Namespace})
			}
		}
	}
	s.hosts.use(hostsFile)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.upstream = all
}

// socketAddress is nil for what is no address, or the server's own.
func socketAddress(text string, port int) unix.Sockaddr {
	switch address := parseAddress(text); len(address) {
	case 4:
		if to := [4]byte(address); to != Address {
			return &unix.SockaddrInet4{Addr: to, Port: port}
		}
	case 16:
		return &unix.SockaddrInet6{Addr: [16]byte(address), Port: port}
	}
	return nil
}

func (s *Server) servers() []other {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.upstream
}

// Serve answers until Close.
func (s *Server) Serve() {
	var both sync.WaitGroup
	both.Go(s.serveDatagrams)
	both.Go(s.serveStreams)
	both.Wait()
}

// Close ends Serve, and is called once; what is under way goes on.
func (s *Server) Close() error {
	close(s.closed)
	return errors.Join(s.datagrams.Close(), s.streams.Close())
}

func (s *Server) serveDatagrams() {
	buffer := make([]byte, longestQuery)
	for {
		n, from, err := receive(s.datagrams, buffer)
		if err != nil && s.over() {
			return
		}
		if err != nil {
			continue
		}
		if n > len(buffer) {
			continue
		}
		reply, q := s.local(buffer[:n], datagram)
		if reply == nil && len(q.raw) > 0 {
			reply = s.forward(buffer[:n], from)
		}
		if reply != nil {
			send(s.datagrams, reply, from)
		}
	}
}

// over says after an error whether Close was the reason; if not, it keeps one that does not go away from becoming work.
func (s *Server) over() bool {
	select {
	case <-s.closed:
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}

// forward asks other servers meanwhile. Where too many wait already, it says so at once.
func (s *Server) forward(packet []byte, from unix.Sockaddr) []byte {
	packet = slices.Clone(packet)
	q, _, _ := parse(packet)
	select {
	case s.forwards <- struct{}{}:
	default:
		return failure(packet, q, refused)
	}
	go func() {
		defer func() { <-s.forwards }()
		send(s.datagrams, s.ask(packet, q, unix.SOCK_DGRAM), from)
	}()
	return nil
}

func (s *Server) serveStreams() {
	for {
		client, err := accept(s.streams)
		if err != nil && s.over() {
			return
		}
		if err != nil {
			continue
		}
		select {
		case s.connections <- struct{}{}:
			go s.converse(client)
		default:
			client.Close()
		}
	}
}

// converse answers one connection's queries in turn.
func (s *Server) converse(client *os.File) {
	defer func() {
		client.Close()
		<-s.connections
	}()
	for {
		if client.SetDeadline(time.Now().Add(idle)) != nil {
			return
		}
		packet, err := readFrame(client, longestQuery)
		if err != nil {
			return
		}
		reply, q := s.local(packet, longestFrame)
		if reply == nil && len(q.raw) > 0 {
			reply = s.ask(packet, q, unix.SOCK_STREAM)
		}
		if reply == nil || client.SetDeadline(time.Now().Add(idle)) != nil || writeFrame(client, reply) != nil {
			return
		}
	}
}

// local is the answer that needs no other server; nil with a question: others are to be asked.
func (s *Server) local(packet []byte, limit int) ([]byte, question) {
	q, code, isQuery := parse(packet)
	if !isQuery {
		return nil, question{}
	}
	if code != 0 {
		return failure(packet, q, code), q
	}
	data, known := s.known(q)
	if !known {
		return nil, q
	}
	return answer(packet, q, data, limit), q
}

// known is what the hosts file says. A name without dots that is in there has nothing else: servers elsewhere could say
// only that it does not exist, which clients take for all its types.
func (s *Server) known(q question) (data [][]byte, known bool) {
	if q.name == "" {
		return nil, false
	}
	if q.kind == typePTR {
		return s.pointers(q)
	}
	four, six := s.hosts.addresses(q.name)
	there := len(four)+len(six) > 0
	switch q.kind {
	case typeA:
		return s.rotate(four), there
	case typeAAAA:
		return s.rotate(six), there
	default:
		return nil, there && single(q.name)
	}
}

func (s *Server) pointers(q question) (data [][]byte, known bool) {
	address := reversed(q.name)
	if address == nil {
		return nil, false
	}
	for _, name := range s.hosts.names(address) {
		if b, ok := writeName(name); ok {
			data = append(data, b)
		}
	}
	return data, len(data) > 0
}

// rotate begins with another one each time.
func (s *Server) rotate(all [][]byte) [][]byte {
	if len(all) < 2 {
		return all
	}
	n := int(s.turn.Add(1)) % len(all)
	return slices.Concat(all[n:], all[:n])
}
