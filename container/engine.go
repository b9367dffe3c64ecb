package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/confine"
	"dhow/container/program"
	// The binary plays the shim's part, too; see the package.
	_ "dhow/container/shimentry"
)

// Engine runs pods on this machine; it implements Runtime. What it knows is on disk, below StateDir, and in the
// shims: any number of engines may look at it, one at a time Runs.
type Engine struct {
	config  Config
	log     *slog.Logger
	events  *broadcaster
	program *program.Program
	ready   chan struct{}
	failed  error // why Run did not start; set before ready is closed

	mu         sync.Mutex
	sandboxes  map[string]*sandbox
	containers map[string]*container
	run        context.Context // Run's; nil while it does not run
	watchers   sync.WaitGroup
}

var _ Runtime = (*Engine)(nil)

// New reads what is on disk. It starts nothing and changes nothing.
func New(c Config) (*Engine, error) {
	if c.StateDir == "" || c.Images == nil {
		return nil, errors.New("container engine: StateDir and Images must be set")
	}
	c.setDefaults()
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("container engine: %w", err)
	}
	e := &Engine{
		config: c, log: c.Log, events: newBroadcaster(), program: program.New(c.Program, filepath.Join(c.StateDir, programDir)), ready: make(chan struct{}),
		sandboxes: map[string]*sandbox{}, containers: map[string]*container{},
	}
	if err := e.load(); err != nil {
		return nil, fmt.Errorf("container engine: %w", err)
	}
	return e, nil
}

// load reads the records of every sandbox.
func (e *Engine) load() error {
	entries, err := os.ReadDir(e.config.StateDir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		s, err := e.loadSandbox(filepath.Join(e.config.StateDir, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is being made, or removed
		}
		if err != nil {
			e.log.Error("records of a sandbox cannot be read", "pod", entry.Name(), "err", err)
			continue
		}
		if !s.Ready {
			continue // another engine makes it, or a crash came between; Run knows
		}
		e.sandboxes[s.ID] = s
		for _, c := range s.containers {
			e.containers[c.ID] = c
		}
	}
	return nil
}

// Run takes charge: it clears away what a crash left half-made, follows the shims, and blocks until ctx ends. The
// shims and their containers go on; where there are none, the control groups go.
func (e *Engine) Run(ctx context.Context) error {
	if err := e.clearAborted(); err != nil {
		e.failed = fmt.Errorf("container engine: %w", err)
		close(e.ready)
		return e.failed
	}
	e.mu.Lock()
	e.run = ctx
	for _, s := range e.sandboxes {
		if !s.Stopped {
			e.follow(s)
		}
	}
	e.mu.Unlock()
	if confine.DefaultAppArmorMissing() {
		e.log.Info("no default AppArmor profile is loaded: containers run without, unless they name one", "profile", confine.DefaultAppArmor)
	}
	close(e.ready)
	<-ctx.Done()
	e.mu.Lock()
	e.run = nil
	e.mu.Unlock()
	e.watchers.Wait()
	RemoveEmptyGroups(e.config.CgroupParent)
	e.events.close()
	return nil
}

// Ready blocks until Run has taken over every shim, or says why it could not.
func (e *Engine) Ready(ctx context.Context) error {
	select {
	case <-e.ready:
		return e.failed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Status implements Runtime.
func (e *Engine) Status(context.Context) (*cri.StatusResponse, error) {
	answer := &cri.StatusResponse{
		Status: &cri.RuntimeStatus{Conditions: []*cri.RuntimeCondition{
			{Type: "RuntimeReady", Status: true},
			{Type: "NetworkReady", Status: true},
		}},
		Features: &cri.RuntimeFeatures{SupplementalGroupsPolicy: true, MountOptions: true},
	}
	for _, name := range []string{"", handlerName} {
		answer.RuntimeHandlers = append(answer.RuntimeHandlers, &cri.RuntimeHandler{
			Name: name, Features: &cri.RuntimeHandlerFeatures{RecursiveReadOnlyMounts: true, UserNamespaces: true},
		})
	}
	return answer, nil
}

// handlerName is the engine's own, which is also meant by none.
const handlerName = "dhow"

// version of the engine, as nodes show it.
const version = "1.0"

// Version implements Runtime.
func (e *Engine) Version(context.Context) (*cri.VersionResponse, error) {
	return &cri.VersionResponse{Version: "0.1.0", RuntimeName: "dhow", RuntimeVersion: version, RuntimeApiVersion: "v1"}, nil
}

// Events implements Runtime.
func (e *Engine) Events(ctx context.Context) <-chan *cri.ContainerEventResponse {
	return e.events.subscribe(ctx)
}

func (e *Engine) sandbox(id string) (*sandbox, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.sandboxes[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("sandbox %s: %w", id, ErrNotFound)
}

func (e *Engine) container(id string) (*container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[id]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("container %s: %w", id, ErrNotFound)
}

func (e *Engine) emit(kind cri.ContainerEventType, id string, s *sandbox) {
	e.events.send(&cri.ContainerEventResponse{
		ContainerId: id, ContainerEventType: kind, CreatedAt: time.Now().UnixNano(), PodSandboxStatus: s.status(),
	})
}
