package container

import (
	"errors"
	"fmt"
	"os"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/cgroups"
	"dhow/container/shim"
)

// ExitCommand is a program that takes down what a container leaves behind. The container's shim starts it when no restart
// policy starts the container again, and does not wait for it. It runs in the network, IPC and UTS namespaces and in
// the control groups of who started the container (the top ones, if those are gone), and in a session of its own.
// While somebody is attached, or who has stopped the container is at work, it is left half a second to make it needless by
// stopping the sandbox.
type ExitCommand struct {
	// Path of the program; Args has the name that it is called by, too.
	Path string   `json:"path"`
	Args []string `json:"args"`
	Env  []string `json:"env,omitempty"`
}

// wire is the command as the shim knows it.
func (x *ExitCommand) wire(s *sandbox) (*shim.ExitCommand, error) {
	if x == nil {
		return nil, nil
	}
	if s.namespaces().Pid == cri.NamespaceMode_POD { // with its first process, the shim, all end
		return nil, errors.New("exit command: containers that share a pod's processes can have none")
	}
	own, top, err := cgroups.Own()
	if err != nil {
		return nil, fmt.Errorf("exit command: %w", err)
	}
	return &shim.ExitCommand{Path: x.Path, Args: x.Args, Env: x.Env, Groups: [][]string{own, top}}, nil
}

// openOwn opens the namespaces of this process that a shim has of its own, for its exit commands.
func openOwn() ([]*os.File, error) {
	var all []*os.File
	for _, space := range shim.OwnNamespaces {
		f, err := os.Open("/proc/self/ns/" + space.Name)
		if err != nil {
			closeFiles(all)
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}
