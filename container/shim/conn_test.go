package shim

import (
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel may say that nothing will come when a message and the end have come between its two looks.
func TestTheLastWordBeforeTheEndIsHeard(t *testing.T) {
	for range 20_000 {
		ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_ = unix.Sendmsg(ends[1], []byte("last"), nil, nil, unix.MSG_NOSIGNAL)
			unix.Close(ends[1])
		}()
		data, _, err := receive(ends[0])
		for again(err) {
			data, _, err = receive(ends[0])
		}
		if string(data) != "last" || err != nil {
			t.Fatalf("heard %q, %v", data, err)
		}
		unix.Close(ends[0])
	}
}
