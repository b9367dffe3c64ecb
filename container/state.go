package container

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/cgroups"
	"dhow/container/shim"
	"dhow/internal/rootfs"
)

// The records on disk. Each file is written whole, by rename.
const (
	sandboxFile   = "sandbox.json"
	containerFile = "container.json"
	specFile      = "spec.json"
	startFile     = "start.json"
	exitFile      = "exit.json"
	containersDir = "c"
	programDir    = ".program" // of the shim that is built in
	foldersFile   = ".folders" // a lock: Engine.lockFolders
)

// sandbox is one pod's. Its record is written first of all, when it is ready, and when it stops.
type sandbox struct {
	ID      string        `json:"id"`
	Created int64         `json:"created"` // nanoseconds
	ShimPID int           `json:"shimPID"`
	Boot    uint64        `json:"boot"` // the shim's start time, by which a reused number is told apart
	IPs     []string      `json:"ips"`
	Cgroup  cgroups.Group `json:"cgroup"` // the pod's group
	Ready   bool          `json:"ready"`  // it was made completely
	Stopped bool          `json:"stopped"`
	// Users are the ids of a user namespace of the pod's own; nil: it has none.
	Users *users `json:"users,omitempty"`
	// Spec is the configuration as protobuf JSON.
	Spec json.RawMessage `json:"config"`

	dir        string
	config     *cri.PodSandboxConfig
	mu         sync.Mutex // of operations on this sandbox
	containers map[string]*container
	halfMade   []string // ids of containers whose making or removing a crash cut short
}

// container is one of a sandbox's.
type container struct {
	ID      string          `json:"id"`
	Created int64           `json:"created"`
	ImageID string          `json:"imageID"`
	Cgroup  cgroups.Group   `json:"cgroup"`
	Stop    string          `json:"stopSignal"`
	Spec    json.RawMessage `json:"config"`
	Extra   Extra           `json:"extra"`

	dir     string
	config  *cri.ContainerConfig
	sandbox *sandbox
	images  map[int]*rootfs.Snapshot // of mounts, by their index, while it is being made

	op      sync.Mutex // of operations on this container
	mu      sync.Mutex // of what follows
	started int64      // nanoseconds; 0 before
	start   shim.Start // what the shim wrote of it
	exit    *shim.Exit
	layer   *cri.FilesystemUsage // what it had written when that was last counted
	exited  chan struct{}        // closed when exit is known

	news sync.Mutex         // of telling of its state
	told cri.ContainerState // what listeners have been told last
	// Of restarts: the last end that they have been told of, and whether the next start is to be told.
	toldEnd int64
	waits   bool
}

func newID() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// record saves the sandbox with its configuration, which may differ from the one that it was made by in its limits.
func (s *sandbox) record(config *cri.PodSandboxConfig) error {
	data, err := protojson.Marshal(config)
	if err != nil {
		return err
	}
	s.Spec = data
	return s.save()
}

func (s *sandbox) save() error {
	return writeJSON(filepath.Join(s.dir, sandboxFile), s)
}

func (c *container) save() error {
	data, err := protojson.Marshal(c.config)
	if err != nil {
		return err
	}
	c.Spec = data
	return writeJSON(filepath.Join(c.dir, containerFile), c)
}

func writeJSON(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func readJSON(path string, value any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, value); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readConfig(text json.RawMessage, into proto.Message) error {
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, into)
}

func (e *Engine) loadSandbox(dir string) (*sandbox, error) {
	s := &sandbox{dir: dir, config: &cri.PodSandboxConfig{}, containers: map[string]*container{}}
	if err := readJSON(filepath.Join(dir, sandboxFile), s); err != nil {
		return nil, err
	}
	if err := readConfig(s.Spec, s.config); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(dir, containersDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range entries {
		c, err := loadContainer(filepath.Join(dir, containersDir, entry.Name()), s)
		if errors.Is(err, fs.ErrNotExist) {
			s.halfMade = append(s.halfMade, entry.Name())
			continue
		}
		if err != nil {
			return nil, err
		}
		s.containers[c.ID] = c
	}
	return s, nil
}

func loadContainer(dir string, s *sandbox) (*container, error) {
	c := &container{dir: dir, config: &cri.ContainerConfig{}, sandbox: s, exited: make(chan struct{})}
	if err := readJSON(filepath.Join(dir, containerFile), c); err != nil {
		return nil, err
	}
	if err := readConfig(c.Spec, c.config); err != nil {
		return nil, err
	}
	if err := c.readRecords(); err != nil {
		return nil, err
	}
	c.told = c.state()
	if c.start.Last != nil {
		c.toldEnd = c.start.Last.At
	}
	return c, nil
}

// readRecords takes up what the shim has written of the container's start and end.
func (c *container) readRecords() error {
	var start shim.Start
	if err := readJSON(filepath.Join(c.dir, startFile), &start); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c.mu.Lock()
	c.started, c.start = start.At, start
	c.mu.Unlock()
	return c.readExit()
}

// readExit takes up the end of the container, if the shim has written one.
func (c *container) readExit() error {
	exit, err := shim.ReadExit(filepath.Join(c.dir, exitFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c.setExit(exit)
	return nil
}

// setExit makes an end known; the first one counts.
func (c *container) setExit(exit shim.Exit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.exit != nil {
		return
	}
	c.exit = &exit
	close(c.exited)
}

func (c *container) state() cri.ContainerState {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.exit != nil:
		return cri.ContainerState_CONTAINER_EXITED
	case c.started != 0:
		return cri.ContainerState_CONTAINER_RUNNING
	default:
		return cri.ContainerState_CONTAINER_CREATED
	}
}
