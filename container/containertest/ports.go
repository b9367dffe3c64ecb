package containertest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

func portBehaviours() map[string]func(*rig) {
	return map[string]func(*rig){
		"a port is forwarded":                        forwardsPort,
		"a port of IPv6 alone is forwarded":          forwardsIPv6,
		"the end of input is passed on by itself":    forwardsHalf,
		"several connections are forwarded at once":  forwardsMany,
		"forwarding to a port of nobody is an error": forwardsNothing,
	}
}

// freePort is one where nobody listens, on this machine nor in a new pod. It is none of those that the kernel gives to whoever asks
// for any, as others do meanwhile.
func (r *rig) freePort() int32 {
	r.Helper()
	for range 100 {
		port := 10000 + rand.Int32N(20000)
		if l, err := net.Listen("tcp", fmt.Sprint(":", port)); err == nil {
			r.check(l.Close())
			return port
		}
	}
	r.Fatal("no port is free")
	return 0
}

// serve runs a server of one connection in a new container and waits until it listens on the port.
func (r *rig) serve(port int32, command string) {
	r.Helper()
	id := r.launch(r.sh(command))
	r.eventually("it listens", func() bool { // in hexadecimal, state 0A
		return r.exec(id, "sh", "-c", fmt.Sprintf("grep -c ':%04X .* 0A ' /proc/net/tcp /proc/net/tcp6 | grep -v ':0$' || true", port)) != ""
	})
}

// forward connects to a port of the pod. ended has what PortForward returns.
func (r *rig) forward(port int32) (far net.Conn, ended chan error) {
	near, far := net.Pipe()
	ended = make(chan error, 1)
	go func() { ended <- r.Runtime.PortForward(r.ctx, r.sandbox, port, near) }()
	return far, ended
}

func (r *rig) expect(from io.Reader, text string) {
	r.Helper()
	answer := make([]byte, len(text))
	_, err := io.ReadFull(from, answer)
	r.check(err)
	if string(answer) != text {
		r.Errorf("it answers %q, want %q", answer, text)
	}
}

func forwardsPort(r *rig) {
	port := r.freePort()
	r.serve(port, fmt.Sprintf("nc -l -p %d -e cat", port))
	far, ended := r.forward(port)
	_, err := io.WriteString(far, "there and back\n")
	r.check(err)
	r.expect(far, "there and back\n")
	far.Close()
	select {
	case <-ended: // with or without an error: it was we who left
	case <-time.After(patience):
		r.Error("forwarding goes on after the client has left")
	}
}

func forwardsIPv6(r *rig) {
	port := r.freePort()
	r.serve(port, fmt.Sprintf("httpd -f -p [::1]:%d -h /etc", port))
	far, _ := r.forward(port)
	defer far.Close()
	_, err := io.WriteString(far, "GET /none HTTP/1.0\r\n\r\n")
	r.check(err)
	r.expect(far, "HTTP/1.")
}

// halves is a connection whose input and output end by themselves.
type halves struct {
	*io.PipeReader
	*io.PipeWriter
}

func (h halves) Close() error { return errors.Join(h.PipeReader.Close(), h.PipeWriter.Close()) }

func forwardsHalf(r *rig) {
	port := r.freePort()
	r.serve(port, fmt.Sprintf(`nc -l -p %d -e sh -c 'cat; sleep 0.1; echo afterwards'`, port))
	input, say := io.Pipe()
	hear, output := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- r.Runtime.PortForward(r.ctx, r.sandbox, port, halves{input, output}) }()
	_, err := io.WriteString(say, "all\n")
	r.check(err)
	say.Close()
	heard, err := io.ReadAll(hear)
	r.check(err)
	if string(heard) != "all\nafterwards\n" {
		r.Errorf("it answers %q", heard)
	}
	r.check(<-ended)
}

func forwardsMany(r *rig) {
	port := r.freePort()
	r.serve(port, fmt.Sprintf("nc -ll -p %d -e cat", port))
	var all []net.Conn
	for n := range 5 {
		far, _ := r.forward(port)
		defer far.Close()
		_, err := fmt.Fprintln(far, n)
		r.check(err)
		all = append(all, far)
	}
	for n, far := range all {
		r.expect(far, fmt.Sprintln(n))
	}
}

func forwardsNothing(r *rig) {
	port := r.freePort()
	near, far := net.Pipe()
	defer far.Close()
	r.first()
	if err := r.Runtime.PortForward(r.ctx, r.sandbox, port, near); err == nil {
		r.Error("there is no error")
	}
}
