package resolver

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// How long a server has: the last one longer, as nobody else is asked then. Clients give up after 5 s.
const (
	patience     = 2 * time.Second
	lastPatience = 4 * time.Second
)

// ask passes a query on to one server after the other, until one has an answer.
func (s *Server) ask(packet []byte, q question, kind int) []byte {
	servers := s.servers()
	answered := failure(packet, q, serverFailure)
	for i, server := range servers {
		within := s.patience
		if i == len(servers)-1 {
			within = s.lastPatience
		}
		got, err := exchange(server, packet, q, kind, within)
		if err != nil {
			continue
		}
		answered = got
		if code := got[3] & rcodes; code != serverFailure && code != refused {
			break
		}
	}
	return answered
}

// exchange asks one server.
func exchange(server other, packet []byte, q question, kind int, within time.Duration) ([]byte, error) {
	f, err := connect(server, kind, within)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if kind == unix.SOCK_STREAM {
		if err := writeFrame(f, packet); err != nil {
			return nil, err
		}
		got, err := readFrame(f, longestFrame)
		if err == nil && !answers(got, packet, q) {
			err = errors.New("this is not the answer")
		}
		return got, err
	}
	if _, err := f.Write(packet); err != nil {
		return nil, err
	}
	for {
		got, err := next(f)
		if err != nil {
			return nil, err
		}
		if answers(got, packet, q) {
			return got, nil
		}
	}
}

// longestFrame is all that a frame can have (RFC 1035, 4.2.2).
const longestFrame = 1<<16 - 1

func writeFrame(f *os.File, packet []byte) error {
	_, err := f.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...))
	return err
}

func readFrame(f *os.File, longest int) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(f, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n > longest {
		return nil, errors.New("message is too long")
	}
	packet := make([]byte, n)
	_, err := io.ReadFull(f, packet)
	return packet, err
}
