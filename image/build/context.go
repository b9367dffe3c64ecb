package build

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"dhow/image/build/rooted"
	"dhow/image/build/show"
	"dhow/image/build/source"
	"dhow/internal/rootfs"
)

// named is what --build-context gives a name: a directory or an image.
type named struct {
	once sync.Once
	dir  string
	ref  string
	err  error
}

// imagePrefix begins the values of --build-context that name images.
const imagePrefix = "docker-image://"

// contexts are those that were asked for, each fetched once.
type contexts struct {
	mu    sync.Mutex
	known map[string]*named
}

// isNamed tells whether --build-context has a name.
func (w *work) isNamed(name string) bool {
	_, ok := w.Contexts[strings.ToLower(name)]
	return ok
}

// named finds what a name of --build-context stands for.
func (w *work) named(ctx context.Context, name string) (*named, bool, error) {
	name = strings.ToLower(name)
	value, ok := w.Contexts[name]
	if !ok {
		return nil, false, nil
	}
	w.contexts.mu.Lock()
	if w.contexts.known == nil {
		w.contexts.known = map[string]*named{}
	}
	n := w.contexts.known[name]
	if n == nil {
		n = &named{}
		w.contexts.known[name] = n
	}
	w.contexts.mu.Unlock()
	n.once.Do(func() {
		step := w.Display.Step("[context " + name + "] load " + value)
		n.err = w.loadNamed(ctx, n, value)
		step.End(n.err)
	})
	if n.err != nil {
		return nil, true, fmt.Errorf("build context %s: %w", name, n.err)
	}
	return n, true, nil
}

func (w *work) loadNamed(ctx context.Context, n *named, value string) (err error) {
	if ref, ok := strings.CutPrefix(value, imagePrefix); ok {
		n.ref = ref
		return nil
	}
	repository, isGit := source.ParseRepository(value)
	if !isGit && !source.IsURL(value) {
		n.dir = value
		return nil
	}
	if n.dir, err = w.session.folder("context"); err != nil {
		return err
	}
	if isGit {
		n.dir, err = repository.CheckOut(ctx, n.dir)
		return err
	}
	response, err := source.Get(ctx, value)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	archive, _, err := source.FromStream(response.Body, n.dir)
	if err == nil && !archive {
		err = fmt.Errorf("%s is no archive", value)
	}
	return err
}

// namedState makes a state of what --build-context names: of a directory, one layer.
func (w *work) namedState(ctx context.Context, s *stage, n *named) (*state, error) {
	if n.ref != "" {
		return w.image(ctx, n.ref, s.platform)
	}
	tree, ignored, err := w.openContext(n.dir)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	options := ofContext(ignored)
	if w.Epoch != nil {
		options.Latest = *w.Epoch
	}
	digest, err := options.Digest(tree, "/")
	if err != nil {
		return nil, err
	}
	now := &state{args: newVars(), spec: w.scratch(s.platform)}
	err = w.layer(ctx, s, now, layerStep{
		title: "[context] transfer " + n.dir, by: "COPY . /", key: keyOf("context", nil, digest, w.epochWord()),
		make: func(_ context.Context, snap *rootfs.Snapshot, _ *show.Step) error {
			to, err := rooted.Overlay(snap.Lower, snap.Upper, snap.Work)
			if err != nil {
				return err
			}
			defer to.Close()
			return options.Dir(tree, "/", to, "/")
		},
	})
	return now, err
}

// ofContext copies what a context does not ignore; all of it is root's.
func ofContext(ignored source.Ignore) rooted.Copy {
	return rooted.Copy{Owner: &rooted.Owner{}, Leave: ignored.Ignores}
}

func (w *work) openContext(dir string) (*rooted.Tree, source.Ignore, error) {
	if dir == "" {
		return nil, source.Ignore{}, errors.New("there is no build context: give a directory")
	}
	tree, err := rooted.Open(dir)
	if err != nil {
		return nil, source.Ignore{}, fmt.Errorf("build context: %w", err)
	}
	ignored, err := w.ignored(tree, dir)
	if err != nil {
		tree.Close()
		return nil, source.Ignore{}, err
	}
	return tree, ignored, nil
}

// ignored reads what the main context ignores, which a file beside the Dockerfile may say, or another context.
func (w *work) ignored(tree *rooted.Tree, dir string) (source.Ignore, error) {
	if dir != w.Context {
		return source.ReadIgnore(tree, "")
	}
	if w.Ignore != nil {
		return source.ParseIgnore(w.Name+".dockerignore", w.Ignore)
	}
	return source.ReadIgnore(tree, w.Name)
}

// contextDigest is of a part of the context.
func (w *work) contextDigest(name string) (string, error) {
	tree, ignored, err := w.openContext(w.Context)
	if err != nil {
		return "", err
	}
	defer tree.Close()
	return ofContext(ignored).Digest(tree, path.Join("/", name))
}

// copyContext copies a part of the context below a directory, and tells where it is there.
func (w *work) copyContext(name, dir string) (string, error) {
	tree, ignored, err := w.openContext(w.Context)
	if err != nil {
		return "", err
	}
	defer tree.Close()
	return copyInto(tree, path.Join("/", name), dir, ofContext(ignored))
}

func copyInto(tree *rooted.Tree, name, dir string, options rooted.Copy) (string, error) {
	to, err := rooted.Open(dir)
	if err != nil {
		return "", err
	}
	defer to.Close()
	kind, err := tree.Kind(name)
	if err != nil {
		return "", err
	}
	if kind == rooted.Directory {
		return dir, options.Dir(tree, name, to, "/")
	}
	return filepath.Join(dir, "file"), options.File(tree, name, to, "file")
}

// copyOut copies a part of what a state has made into a directory.
func (w *work) copyOut(ctx context.Context, from *state, name, dir string) error {
	tree, err := w.tree(ctx, from)
	if err != nil {
		return err
	}
	defer tree.Close()
	_, err = copyInto(tree, path.Join("/", name), dir, rooted.Copy{})
	return err
}
