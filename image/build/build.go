// Package build makes images of Dockerfiles: it reads them, runs their instructions over snapshots of an image store,
// and keeps what each made for the next build. Commands are run by a Runner; it starts no containers itself.
package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"dhow/image"
	"dhow/image/archive"
	"dhow/image/build/dockerfile"
	"dhow/image/build/show"
	"dhow/internal/rootfs"
)

// Config of a Builder.
type Config struct {
	// Dir keeps the cache, and what builds at work need (/var/lib/dhow/build).
	Dir string
	// RunDir holds what need not survive a reboot: secrets, the runners' state (/run/dhow/builds).
	RunDir string
	Images Images
	// NewRunner opens the runner of one build, with its state in a directory of its own. One whose process was killed
	// leaves things there: opened anew, Close clears them away.
	NewRunner func(dir string) (Runner, error)
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// Images is the image store.
type Images interface {
	image.Maker
	Pull(ctx context.Context, ref string, o image.PullOptions) (image.Pulled, error)
	Layer(ctx context.Context, diffID string) (image.Layer, error)
	RemoveSnapshot(ctx context.Context, key string) error
	Save(ctx context.Context, w io.Writer, format archive.Format, refs ...string) error
	Prune(ctx context.Context, o image.PruneOptions) (image.Removed, error)
}

// Runner runs the commands of one build.
type Runner interface {
	// Run runs a command until it ends, or ctx does, and tells how it ended. An error means that it was not run.
	Run(ctx context.Context, c Command) (exitCode int, err error)
	// Gateway is the machine's address as commands on a network reach it.
	Gateway(network string) (netip.Addr, error)
	// Close ends what still runs, and removes all that the runner has.
	Close() error
}

// The networks that a command may have: a bridge, with an address of its own; the machine's; loopback alone.
const (
	NetworkDefault = "default"
	NetworkHost    = "host"
	NetworkNone    = "none"
)

// HostGateway stands in Options.Hosts for the machine's address.
const HostGateway = "host-gateway"

// Command is one RUN.
type Command struct {
	// Root is over what it runs; what it changes ends up in Root.Upper.
	Root *rootfs.Snapshot
	Args []string
	Env  []string
	// User and Dir are the image's USER and WORKDIR; Dir is absolute.
	User, Dir string
	Mounts    []Mount
	Tmpfs     []Tmpfs
	// Network is one of the networks below.
	Network string
	// Insecure runs it with all rights.
	Insecure bool
	// Hosts is the file to be its /etc/hosts.
	Hosts string
	Limits
	Stdout, Stderr io.Writer
}

// Mount shows a file or directory of the machine to a command.
type Mount struct {
	Source, Target string
	ReadOnly       bool
}

// Tmpfs is a file system in memory.
type Tmpfs struct {
	Target string
	Size   int64 // bytes; 0: the kernel's default
}

// Limits of all commands of a build.
type Limits struct {
	ShmSize, Memory, MemorySwap    int64 // bytes; 0: none (MemorySwap -1: no limit)
	CPUShares, CPUQuota, CPUPeriod int64
	CPUSetCPUs, CPUSetMems         string
	Ulimits                        []Ulimit
}

// Ulimit is one of setrlimit(2)'s.
type Ulimit struct {
	Name       string
	Soft, Hard int64 // -1: no limit
}

// Builder builds images. Several processes may use one Dir at once.
type Builder struct {
	config Config
	log    *slog.Logger
}

// New opens the builder's directory.
func New(c Config) (*Builder, error) {
	if c.Dir == "" || c.RunDir == "" || c.Images == nil || c.NewRunner == nil {
		return nil, errors.New("builder: Dir, RunDir, Images and NewRunner must be set")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	for _, dir := range []string{filepath.Join(c.Dir, cacheDir), filepath.Join(c.Dir, mountsDir), filepath.Join(c.Dir, sessionsDir), c.RunDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("builder: %w", err)
		}
	}
	return &Builder{config: c, log: c.Log}, nil
}

// Options of one build.
type Options struct {
	// Dockerfile and its Name, for messages and for <Name>.dockerignore.
	Dockerfile []byte
	Name       string
	// Context is the directory that COPY and ADD read; empty: there is none.
	Context string
	// Ignore is the Dockerfile's own .dockerignore, if that lies outside of the context.
	Ignore []byte
	// Contexts are further ones, by names in lower case: a directory, docker-image://REF, or a URL of an archive or a
	// git repository.
	Contexts map[string]string
	// Tags name the image.
	Tags []string
	// Args are --build-arg; nil values are taken from Environment.
	Args   map[string]*string
	Labels map[string]string
	// Target is the stage to build, by name or number; the last if empty.
	Target string
	// NoCache does every step anew; NoCacheFilter those of the named stages.
	NoCache       bool
	NoCacheFilter []string
	// CacheFrom are images that were built with InlineCache: their steps need not be done again.
	CacheFrom []string
	// InlineCache writes the keys of its steps into the image.
	InlineCache bool
	// Pull asks the registries for base images that are here already.
	Pull    bool
	Secrets map[string][]byte
	// SSH are sockets of agents, by the ids of RUN --mount=type=ssh.
	SSH map[string]string
	// Platform of the image, such as linux/arm64; this machine's if empty.
	Platform string
	// Network of RUN; NetworkDefault if empty.
	Network string
	// Allow has the entitlements "network.host" and "security.insecure".
	Allow []string
	// Hosts are further lines of /etc/hosts, "address\tname"; the address may be HostGateway.
	Hosts []string
	Limits
	// Epoch, if not nil, is the time that everything made has at the latest (SOURCE_DATE_EPOCH).
	Epoch *time.Time
	// Outputs are where the result goes; none: the image store.
	Outputs []Output
	Display *show.Display
}

// Result of a build.
type Result struct {
	// ID of the image; empty if it went elsewhere.
	ID string
}

// work is one build on its way.
type work struct {
	*Builder
	Options
	file     *dockerfile.File
	session  *session
	cache    *cache
	stages   []*stage
	globals  *vars
	bases    bases
	contexts contexts
	slots    chan struct{} // one for each step that may be done at once
	group    starter
	now      time.Time
}

// Build builds an image. What is wrong with the Dockerfile is told by a *dockerfile.Error, a command that failed by a
// *CommandError.
func (b *Builder) Build(ctx context.Context, o Options) (Result, error) {
	w := &work{Builder: b, Options: o, slots: make(chan struct{}, max(runtime.NumCPU(), 2)), now: time.Now().UTC()}
	step := o.Display.Step("[internal] load build definition from " + o.Name)
	err := w.plan()
	if err == nil {
		step.Status("transferring dockerfile: %dB done", len(o.Dockerfile))
		for _, warning := range w.file.Warnings {
			step.Status("WARN: %s", warning)
		}
	}
	step.End(err)
	if err != nil {
		return Result{}, err
	}
	if w.session, err = b.open(ctx); err != nil {
		return Result{}, fmt.Errorf("build: %w", err)
	}
	defer func() {
		if err := w.session.close(); err != nil {
			b.log.Error("build left something behind; the next one clears it away", "err", err)
		}
	}()
	if w.cache, err = b.openCache(ctx); err != nil {
		return Result{}, fmt.Errorf("build: %w", err)
	}
	w.importCaches(ctx)
	made, err := w.run(ctx)
	if err != nil {
		return Result{}, err
	}
	return w.export(ctx, made)
}
