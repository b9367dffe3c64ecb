package build

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dhow/image"
	"dhow/image/build/rooted"
)

// state is how far a stage has come: the layers below it, and its image's configuration.
type state struct {
	layers []string
	spec   image.Spec
	args   *vars // declared by ARG
	// created is when the last layer was made.
	created time.Time
	cmdSet  bool // CMD was given in this stage
}

// defaultPath is what commands find programs in, unless the image says.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func (s *state) clone() *state {
	c := *s
	c.layers = slices.Clone(s.layers)
	c.args = s.args.clone() // stages inherit them
	c.cmdSet = false
	config := &c.spec.Config
	config.Env, config.Cmd, config.Entrypoint = slices.Clone(config.Env), slices.Clone(config.Cmd), slices.Clone(config.Entrypoint)
	config.Labels, config.ExposedPorts, config.Volumes = maps.Clone(config.Labels), maps.Clone(config.ExposedPorts), maps.Clone(config.Volumes)
	config.OnBuild = slices.Clone(config.OnBuild)
	c.spec.History = slices.Clone(s.spec.History)
	return &c
}

// known are the variables that an instruction may name: ENV wins over ARG.
func (s *state) known() *vars {
	v := s.args.clone()
	for _, e := range s.spec.Config.Env {
		name, value, _ := strings.Cut(e, "=")
		v.set(name, value)
	}
	return v
}

// at makes a path absolute by WORKDIR.
func (s *state) at(name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join("/", s.spec.Config.WorkingDir, name)
}

// shell is SHELL.
func (s *state) shell() []string {
	if len(s.spec.Config.Shell) > 0 {
		return slices.Clone(s.spec.Config.Shell)
	}
	return []string{"/bin/sh", "-c"}
}

// note adds a line of history.
func (s *state) note(by string, layer bool) {
	s.spec.History = append(s.spec.History, ocispec.History{CreatedBy: by, Comment: historyNote, EmptyLayer: !layer})
}

// bases are the images that stages begin with, each looked for once.
type bases struct {
	mu    sync.Mutex
	known map[string]*base
}

type base struct {
	once sync.Once
	made *state
	id   string
	err  error
}

// image gives the state of an image by name.
func (w *work) image(ctx context.Context, ref, platform string) (*state, error) {
	if ref == "scratch" {
		return &state{args: newVars(), spec: w.scratch(platform)}, nil
	}
	w.bases.mu.Lock()
	if w.bases.known == nil {
		w.bases.known = map[string]*base{}
	}
	b := w.bases.known[ref+" "+platform]
	if b == nil {
		b = &base{}
		w.bases.known[ref+" "+platform] = b
	}
	w.bases.mu.Unlock()
	b.once.Do(func() {
		step := w.Display.Step("[internal] load metadata for " + ref)
		b.made, b.err = w.fetch(ctx, ref, platform)
		step.End(b.err)
	})
	if b.err != nil {
		return nil, b.err
	}
	return b.made.clone(), nil
}

func (w *work) scratch(platform string) image.Spec {
	os, arch, variant := splitPlatform(platform)
	spec := image.Spec{Platform: ocispec.Platform{OS: os, Architecture: arch, Variant: variant}}
	spec.Config.Env = []string{"PATH=" + defaultPath}
	return spec
}

func splitPlatform(platform string) (os, arch, variant string) {
	if platform == "" {
		return "linux", runtime.GOARCH, ""
	}
	parts := append(strings.SplitN(platform, "/", 3), "", "")
	return parts[0], parts[1], parts[2]
}

func (w *work) fetch(ctx context.Context, ref, platform string) (*state, error) {
	found, err := w.config.Images.Inspect(ctx, ref)
	if err != nil && !errors.Is(err, image.ErrNotFound) {
		return nil, err
	}
	if err != nil || w.Pull || !fits(found, platform) {
		pulled, pullErr := w.config.Images.Pull(ctx, ref, image.PullOptions{Platform: platform})
		if pullErr != nil {
			return nil, pullErr
		}
		if found, err = w.config.Images.Inspect(ctx, pulled.ID); err != nil {
			return nil, err
		}
	}
	layers := found.Spec.RootFS.DiffIDs
	if err := w.session.lease.HoldImage(found.ID); err != nil {
		return nil, err
	}
	if err := w.session.lease.Hold(layers...); err != nil {
		return nil, err
	}
	s := &state{layers: layers, spec: found.Spec, args: newVars()}
	if !hasEnv(s.spec.Config.Env, "PATH") {
		s.spec.Config.Env = setEnv(s.spec.Config.Env, "PATH", defaultPath)
	}
	if found.Spec.Created != nil {
		s.created = *found.Spec.Created
	}
	return s, nil
}

// fits tells whether an image that is here is of the platform that is wanted.
func fits(d *image.Details, platform string) bool {
	if platform == "" {
		return true
	}
	os, arch, variant := splitPlatform(platform)
	return d.Spec.OS == os && d.Spec.Architecture == arch && (variant == "" || d.Spec.Variant == variant)
}

// tree opens what a state has made, to read.
func (w *work) tree(ctx context.Context, s *state) (*rooted.Tree, error) {
	_, snap, err := w.session.snapshot(ctx, s.layers, ocispec.ImageConfig{})
	if err != nil {
		return nil, err
	}
	return rooted.Overlay(snap.Lower, "", "")
}

// other gives the state of a stage or image that --from names.
func (w *work) other(ctx context.Context, from string, s *stage) (*state, error) {
	if n, isNamed, err := w.named(ctx, from); isNamed {
		if err != nil {
			return nil, err
		}
		return w.namedState(ctx, s, n)
	}
	if other := w.find(from, s.index); other != nil {
		return w.wait(ctx, other)
	}
	for _, later := range w.stages[s.index:] {
		if later.Name != "" && strings.EqualFold(later.Name, from) {
			return nil, fmt.Errorf("invalid from flag value %q: that stage is not before this one", from)
		}
	}
	return w.image(ctx, from, s.platform)
}
