package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"dhow/image/build/rooted"
	"dhow/image/build/show"
	"dhow/image/build/source"
	"dhow/internal/rootfs"
)

// copyStep is a COPY or an ADD.
type copyStep struct {
	instructions.SourcesAndDest
	command      instructions.Command
	add          bool
	from         string
	chown, chmod string
	parents      bool
	excludes     []string
	unpack       *bool
	checksum     string
}

func copying(c *instructions.CopyCommand) copyStep {
	return copyStep{
		SourcesAndDest: c.SourcesAndDest, command: c, from: c.From, chown: c.Chown, chmod: c.Chmod, parents: c.Parents, excludes: c.ExcludePatterns,
	}
}

func adding(c *instructions.AddCommand) copyStep {
	return copyStep{
		SourcesAndDest: c.SourcesAndDest, command: c, add: true, chown: c.Chown, chmod: c.Chmod, excludes: c.ExcludePatterns,
		unpack: c.Unpack, checksum: c.Checksum,
	}
}

// piece is one thing that is copied.
type piece struct {
	tree *rooted.Tree
	name string // in tree
	dir  bool
	// target is where it goes below the destination: its name, or with --parents the whole path.
	target string
	data   *string // a here-document's
	url    string
	fetched
	archive bool // to be unpacked
	digest  string
}

func (w *work) doCopy(ctx context.Context, s *stage, now *state, c copyStep, steps *numbering) error {
	title := steps.title(text(c.command))
	tree, skip, err := w.copySource(ctx, s, c)
	if err != nil {
		return err
	}
	if tree != nil {
		defer tree.Close()
	}
	options := rooted.Copy{Skip: skip, Owner: &rooted.Owner{}}
	if options.Mode, err = parseMode(c.chmod); err != nil {
		return err
	}
	if w.Epoch != nil {
		options.Latest = *w.Epoch
	}
	pieces, err := w.pieces(ctx, tree, c, options)
	if err != nil {
		return err
	}
	var digests []string
	for _, p := range pieces {
		digests = append(digests, p.target, p.digest)
	}
	dest := now.at(c.DestPath)
	into := strings.HasSuffix(c.DestPath, "/") || c.DestPath == "." || strings.HasSuffix(c.DestPath, "/.") || len(pieces) > 1 || c.parents
	return w.layer(ctx, s, now, layerStep{
		title: title, by: text(c.command),
		key: keyOf("copy", now.layers, dest, into, c.chown, c.chmod, c.add, digests, w.epochWord()),
		make: func(_ context.Context, snap *rootfs.Snapshot, _ *show.Step) error {
			return w.copyPieces(snap, pieces, c, dest, into, options)
		},
	})
}

// copySource opens what a COPY reads, and says what of it is left out.
func (w *work) copySource(ctx context.Context, s *stage, c copyStep) (*rooted.Tree, func(string, bool) (bool, bool), error) {
	excluded, err := source.NewIgnore("--exclude", c.excludes)
	if err != nil {
		return nil, nil, err
	}
	if c.from != "" {
		from, err := w.other(ctx, c.from, s)
		if err != nil {
			return nil, nil, err
		}
		tree, err := w.tree(ctx, from)
		return tree, excluded.Skip, err
	}
	if w.Context == "" {
		return nil, excluded.Skip, nil
	}
	tree, ignored, err := w.openContext()
	if err != nil {
		return nil, nil, err
	}
	return tree, func(name string, dir bool) (bool, bool) {
		skip1, descend1 := ignored.Skip(name, dir)
		skip2, descend2 := excluded.Skip(name, dir)
		return skip1 || skip2, descend1 && descend2
	}, nil
}

func (w *work) openContext() (*rooted.Tree, source.Ignore, error) {
	if w.Context == "" {
		return nil, source.Ignore{}, errors.New("there is no build context: give a directory")
	}
	tree, err := rooted.Open(w.Context)
	if err != nil {
		return nil, source.Ignore{}, fmt.Errorf("build context: %w", err)
	}
	ignored, err := source.ReadIgnore(tree, w.Name)
	if err != nil {
		tree.Close()
		return nil, source.Ignore{}, err
	}
	return tree, ignored, nil
}

// pieces finds what the words of a COPY name, and digests it.
func (w *work) pieces(ctx context.Context, tree *rooted.Tree, c copyStep, options rooted.Copy) ([]*piece, error) {
	var all []*piece
	for _, word := range c.SourcePaths {
		if c.add && isURL(word) {
			p, err := w.download(ctx, word, c)
			if err != nil {
				return nil, err
			}
			all = append(all, p)
			continue
		}
		if c.checksum != "" {
			return nil, errors.New("checksum can't be specified for non-HTTP(S) sources")
		}
		found, err := w.localPieces(tree, word, c, options)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	for _, content := range c.SourceContents {
		data := content.Data
		all = append(all, &piece{target: content.Path, data: &data, digest: keyOf("text", nil, data)})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no source files were specified")
	}
	return all, nil
}

func (w *work) localPieces(tree *rooted.Tree, word string, c copyStep, options rooted.Copy) ([]*piece, error) {
	if tree == nil {
		return nil, fmt.Errorf("%q: there is no build context: give a directory", word)
	}
	names, err := tree.Glob(word)
	if path.Clean("/"+word) == "/" {
		names, err = []string{"."}, nil
	}
	if err != nil {
		return nil, err
	}
	var all []*piece
	for _, name := range names {
		kind, err := tree.Kind(name)
		if err != nil {
			return nil, err
		}
		skip, descend := false, true
		if name != "." {
			skip, descend = options.Skip(name, kind == rooted.Directory)
		}
		if kind == rooted.Missing || skip && !(kind == rooted.Directory && descend) {
			continue
		}
		p := &piece{tree: tree, name: name, dir: kind == rooted.Directory, target: target(word, name, c.parents)}
		if p.digest, err = options.Digest(tree, name); err != nil {
			return nil, err
		}
		if c.add && !p.dir && (c.unpack == nil || *c.unpack) {
			if p.archive, err = isArchive(tree, name); err != nil {
				return nil, err
			}
		}
		all = append(all, p)
	}
	if len(all) == 0 && !strings.ContainsAny(word, "*?[") {
		return nil, fmt.Errorf("failed to compute cache key: %q: not found", "/"+strings.TrimLeft(path.Clean(word), "/"))
	}
	if len(all) == 0 && len(c.SourcePaths) == 1 && len(c.SourceContents) == 0 {
		return nil, fmt.Errorf("%q: no files match", word)
	}
	return all, nil
}

// target is what a source is called below the destination. With --parents that is its path from "/./" on.
func target(word, name string, parents bool) string {
	if !parents {
		return path.Base(name)
	}
	pivot, _, found := strings.Cut(path.Join("/", strings.ReplaceAll(word, "/./", "/\x00/")), "/\x00")
	if !found {
		return name
	}
	return strings.TrimPrefix(strings.TrimPrefix(name, strings.Trim(pivot, "/")), "/")
}

func (w *work) copyPieces(snap *rootfs.Snapshot, pieces []*piece, c copyStep, dest string, into bool, options rooted.Copy) error {
	to, err := rooted.Overlay(snap.Lower, snap.Upper, snap.Work)
	if err != nil {
		return err
	}
	defer to.Close()
	if options.Owner, err = ownerIn(to, c.chown); err != nil {
		return err
	}
	kind, err := to.Kind(dest)
	if err != nil {
		return err
	}
	for _, p := range pieces {
		if err := w.copyPiece(to, p, c, dest, into || kind == rooted.Directory, options); err != nil {
			return err
		}
	}
	return nil
}

func (w *work) copyPiece(to *rooted.Tree, p *piece, c copyStep, dest string, into bool, options rooted.Copy) error {
	target := dest
	if into && (!p.dir || c.parents) {
		target = path.Join(dest, p.target)
	}
	switch {
	case p.data != nil || p.url != "":
		return p.write(to, target, options, w.now)
	case p.archive:
		f, err := p.tree.OpenFile(p.name)
		if err != nil {
			return err
		}
		defer f.Close()
		return to.Untar(f, dest, options)
	case p.dir:
		return options.Dir(p.tree, p.name, to, target)
	default:
		return options.File(p.tree, p.name, to, target)
	}
}

// write makes a file of a here-document or a download.
func (p *piece) write(to *rooted.Tree, target string, options rooted.Copy, now time.Time) error {
	a := rooted.Attributes{Owner: *options.Owner, Mode: 0o644, Time: now}
	if p.url != "" {
		a.Mode = 0o600
		if !p.modified.IsZero() {
			a.Time = p.modified
		}
	}
	if options.Mode != nil {
		a.Mode = fs.FileMode(options.Mode(uint32(a.Mode), false))
	}
	if !options.Latest.IsZero() && a.Time.After(options.Latest) {
		a.Time = options.Latest
	}
	if p.data != nil {
		return to.WriteFile(target, strings.NewReader(*p.data), a)
	}
	f, err := os.Open(p.file)
	if err != nil {
		return err
	}
	defer f.Close()
	if p.archive {
		return to.Untar(f, path.Dir(target), options)
	}
	return to.WriteFile(target, f, a)
}

func (w *work) doWorkdir(ctx context.Context, s *stage, now *state, c *instructions.WorkdirCommand, steps *numbering) error {
	if c.Path == "" {
		return errors.New("WORKDIR needs a path")
	}
	title := steps.title(text(c))
	now.spec.Config.WorkingDir = now.at(c.Path)
	dir := now.spec.Config.WorkingDir
	tree, err := w.treeIfAny(ctx, now)
	if err != nil {
		return err
	}
	if tree != nil {
		kind, err := tree.Kind(dir)
		tree.Close()
		if err != nil {
			return err
		}
		if kind == rooted.Directory {
			now.note(text(c), false)
			w.Display.Step(title).Cached()
			return nil
		}
	}
	return w.layer(ctx, s, now, layerStep{
		title: title, by: text(c), key: keyOf("workdir", now.layers, dir, w.epochWord()),
		make: func(_ context.Context, snap *rootfs.Snapshot, _ *show.Step) error {
			to, err := rooted.Overlay(snap.Lower, snap.Upper, snap.Work)
			if err != nil {
				return err
			}
			defer to.Close()
			_, err = to.MkdirAll(dir, rooted.Owner{})
			return err
		},
	})
}

func (w *work) treeIfAny(ctx context.Context, now *state) (*rooted.Tree, error) {
	if len(now.layers) == 0 {
		return nil, nil
	}
	return w.tree(ctx, now)
}

// contextDigest is of a part of the context.
func (w *work) contextDigest(name string) (string, error) {
	tree, ignored, err := w.openContext()
	if err != nil {
		return "", err
	}
	defer tree.Close()
	return rooted.Copy{Skip: ignored.Skip}.Digest(tree, path.Join("/", name))
}

// copyContext copies a part of the context below a directory, and tells where it is there.
func (w *work) copyContext(name, dir string) (string, error) {
	tree, ignored, err := w.openContext()
	if err != nil {
		return "", err
	}
	defer tree.Close()
	return copyInto(tree, path.Join("/", name), dir, rooted.Copy{Skip: ignored.Skip})
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
