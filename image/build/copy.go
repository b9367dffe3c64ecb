package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"dhow/image/build/owner"
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
	link         bool
	excludes     []string
	unpack       *bool
	keepGit      *bool
	checksum     string
}

func copying(c *instructions.CopyCommand) copyStep {
	return copyStep{
		SourcesAndDest: c.SourcesAndDest, command: c, from: c.From, chown: c.Chown, chmod: c.Chmod, parents: c.Parents, link: c.Link,
		excludes: c.ExcludePatterns,
	}
}

func adding(c *instructions.AddCommand) copyStep {
	return copyStep{
		SourcesAndDest: c.SourcesAndDest, command: c, add: true, chown: c.Chown, chmod: c.Chmod, link: c.Link, excludes: c.ExcludePatterns,
		unpack: c.Unpack, keepGit: c.KeepGitDir, checksum: c.Checksum,
	}
}

func (w *work) doCopy(ctx context.Context, s *stage, now *state, c copyStep, steps *numbering) error {
	title := steps.title(text(c.command))
	excluded, err := source.NewIgnore("--exclude", c.excludes)
	if err != nil {
		return err
	}
	tree, ignored, err := w.copySource(ctx, s, c)
	if err != nil {
		return err
	}
	if tree != nil {
		defer tree.Close()
	}
	options := rooted.Copy{Owner: &rooted.Owner{}}
	if w.keepsOwners(c) {
		options.Owner = nil
	}
	if options.Mode, err = owner.ParseMode(c.chmod); err != nil {
		return err
	}
	if w.Epoch != nil {
		options.Latest = *w.Epoch
	}
	pieces, err := w.pieces(ctx, c, from{tree, ignored, excluded}, options)
	if err != nil {
		w.Display.Step(title).End(err)
		return err
	}
	defer closePieces(pieces)
	var digests []string
	for _, p := range pieces {
		digests = append(digests, p.target, p.digest)
	}
	dest := now.at(c.DestPath)
	into := strings.HasSuffix(c.DestPath, "/") || c.DestPath == "." || strings.HasSuffix(c.DestPath, "/.") || len(pieces) > 1 || c.parents
	below, chown := now.layers, c.chown
	if c.link { // it sees nothing of what is below, and so does its key
		below = nil
		if c.chown != "" {
			if options.Owner, err = w.ownerOf(ctx, now, c.chown); err != nil {
				return err
			}
			chown = fmt.Sprint(*options.Owner)
		}
	}
	return w.layer(ctx, s, now, layerStep{
		title: title, by: text(c.command), alone: c.link,
		key: keyOf("copy", below, dest, into, chown, c.chmod, c.add, c.link, digests, w.epochWord()),
		make: func(_ context.Context, snap *rootfs.Snapshot, _ *show.Step) error {
			return w.copyPieces(snap, pieces, c, dest, into, options)
		},
	})
}

// keepsOwners tells whether copies belong to whom their sources belong: those of stages and images do. In directories, the
// owners are the machine's, which mean nothing in an image.
func (w *work) keepsOwners(c copyStep) bool {
	value, isNamed := w.Contexts[strings.ToLower(c.from)]
	return c.chown == "" && c.from != "" && (!isNamed || strings.HasPrefix(value, imagePrefix))
}

// ownerOf reads --chown by the names that an image has.
func (w *work) ownerOf(ctx context.Context, now *state, chown string) (*rooted.Owner, error) {
	tree, err := w.treeIfAny(ctx, now)
	if err != nil {
		return nil, err
	}
	if tree != nil {
		defer tree.Close()
	}
	return owner.In(tree, chown)
}

// copySource opens what a COPY reads, and says what of it is ignored.
func (w *work) copySource(ctx context.Context, s *stage, c copyStep) (*rooted.Tree, source.Ignore, error) {
	if c.from == "" {
		if w.Context == "" {
			return nil, source.Ignore{}, nil
		}
		return w.openContext(w.Context)
	}
	named, isNamed, err := w.named(ctx, c.from)
	if err != nil {
		return nil, source.Ignore{}, err
	}
	if isNamed && named.dir != "" {
		return w.openContext(named.dir)
	}
	other, err := w.other(ctx, c.from, s)
	if err != nil {
		return nil, source.Ignore{}, err
	}
	tree, err := w.tree(ctx, other)
	return tree, source.Ignore{}, err
}

func (w *work) copyPieces(snap *rootfs.Snapshot, pieces []*piece, c copyStep, dest string, into bool, options rooted.Copy) error {
	to, err := rooted.Overlay(snap.Lower, snap.Upper, snap.Work)
	if err != nil {
		return err
	}
	defer to.Close()
	if !c.link && c.chown != "" {
		if options.Owner, err = owner.In(to, c.chown); err != nil {
			return err
		}
	}
	kind, err := to.Kind(dest)
	if err != nil {
		return err
	}
	for _, p := range pieces {
		options.Leave = p.skip
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
	if c.parents {
		if err := options.Parents(p.tree, p.name, to, target, strings.Count(p.target, "/")); err != nil {
			return err
		}
	}
	switch {
	case p.data != nil || p.url != "":
		return p.write(to, target, c, options, w.now)
	case p.archive:
		f, err := p.tree.OpenFile(p.name)
		if err != nil {
			return err
		}
		defer f.Close()
		return to.Untar(f, dest, c.ofArchive(options))
	case p.dir && c.parents && p.target != "":
		return errors.Join(options.Directory(p.tree, p.name, to, target), options.Dir(p.tree, p.name, to, target))
	case p.dir:
		return options.Dir(p.tree, p.name, to, target)
	default:
		return options.File(p.tree, p.name, to, target)
	}
}

// ofArchive is how ADD unpacks: what an archive holds belongs to whom it says, unless --chown does.
func (c copyStep) ofArchive(options rooted.Copy) rooted.Copy {
	if c.chown == "" {
		options.Owner = nil
	}
	return options
}

// write makes a file of a here-document or a download. A download whose server tells no time is of 1970, so that equal ones
// make equal layers.
func (p *piece) write(to *rooted.Tree, target string, c copyStep, options rooted.Copy, now time.Time) error {
	a := rooted.Attributes{Mode: 0o644, Time: now}
	if options.Owner != nil {
		a.Owner = *options.Owner
	}
	if p.url != "" {
		a.Mode, a.Time = 0o600, time.Unix(0, 0)
		if !p.fetched.Modified.IsZero() {
			a.Time = p.fetched.Modified
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
		return to.Untar(f, path.Dir(target), c.ofArchive(options))
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
	user := now.spec.Config.User
	return w.layer(ctx, s, now, layerStep{
		title: title, by: text(c), key: keyOf("workdir", now.layers, dir, user, w.epochWord()),
		make: func(_ context.Context, snap *rootfs.Snapshot, _ *show.Step) error {
			to, err := rooted.Overlay(snap.Lower, snap.Upper, snap.Work)
			if err != nil {
				return err
			}
			defer to.Close()
			of, err := owner.User(to, user)
			if err != nil {
				return err
			}
			_, err = to.MkdirAll(dir, *of)
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
