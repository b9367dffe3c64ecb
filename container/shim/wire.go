package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// The protocol: a client connects to the shim's SOCK_SEQPACKET socket and sends one request, a JSON message with
// the descriptors it is about; the shim answers with one or more replies on the same connection. Version 1 of it
// is all there is; a shim that is asked for another operation than it knows says so by name.

// Operations of a request.
const (
	OpPing   = "ping"   // reply: Pid
	OpStart  = "start"  // Spec: path of a Container; reply: Pid
	OpSignal = "signal" // Container, Signal
	OpExec   = "exec"   // Container, Process, Input, Output, Errors; a descriptor for each; replies: Pid, then Exit
	OpAttach = "attach" // Container, Input, Output, Errors; a descriptor for each; replies: one at once, one at the end
	OpReopen = "reopen" // Container: open its log anew
	OpDial   = "dial"   // Port; reply: a descriptor connected to it on the pod's loopback
	OpWatch  = "watch"  // replies: Changed, one for each container that starts or ends
	OpQuit   = "quit"   // kill what runs and end
	OpResize = "resize" // on the connection of exec or attach: Width, Height
)

// Request is what a client sends.
type Request struct {
	Op        string   `json:"op"`
	Container string   `json:"container,omitempty"`
	Spec      string   `json:"spec,omitempty"`
	Signal    int      `json:"signal,omitempty"`
	Process   *Process `json:"process,omitempty"`
	Input     bool     `json:"input,omitempty"`
	Output    bool     `json:"output,omitempty"`
	Errors    bool     `json:"errors,omitempty"`
	Port      int      `json:"port,omitempty"`
	Width     uint16   `json:"width,omitempty"`
	Height    uint16   `json:"height,omitempty"`
}

// Reply is what the shim answers.
type Reply struct {
	Error string `json:"error,omitempty"`
	// Code goes with an Error about a command that could not be started: 126 or 127.
	Code int   `json:"code,omitempty"`
	Pid  int   `json:"pid,omitempty"`
	Exit *Exit `json:"exit,omitempty"`
	// Changed is a container whose records have changed.
	Changed string `json:"changed,omitempty"`
}

// biggest message; specs of containers go by file.
const biggest = 128 << 10

// Send writes one message with descriptors.
func Send(c *net.UnixConn, message any, files ...*os.File) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(data) > biggest {
		return fmt.Errorf("message of %d bytes is longer than %d", len(data), biggest)
	}
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	_, _, err = c.WriteMsgUnix(data, rights, nil)
	for _, f := range files {
		_ = unix.SetNonblock(int(f.Fd()), true) // Fd made it blocking
	}
	return err
}

// Receive reads one message with its descriptors, which are the caller's to close.
func Receive(c *net.UnixConn, message any) ([]*os.File, error) {
	data, oob := make([]byte, biggest), make([]byte, unix.CmsgSpace(4*8))
	n, oobn, flags, _, err := c.ReadMsgUnix(data, oob)
	if err != nil {
		return nil, err
	}
	files, err := descriptors(oob[:oobn])
	if err == nil && n == 0 {
		err = net.ErrClosed
	}
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("message was cut off")
	}
	if err == nil {
		err = json.Unmarshal(data[:n], message)
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

func descriptors(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
