package build

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"dhow/image/build/rooted"
	"dhow/image/build/source"
)

// piece is one thing that is copied.
type piece struct {
	tree *rooted.Tree
	name string // in tree
	dir  bool
	// target is where it goes below the destination: its name, or with --parents the whole path.
	target  string
	data    *string // a here-document's
	url     string
	file    string // what was downloaded
	fetched source.Download
	archive bool // to be unpacked
	digest  string
	own     bool // tree is to be closed
	skip    func(name string, dir bool) (skip, descend bool)
}

// from is what a COPY reads.
type from struct {
	tree     *rooted.Tree // nil: there is no context
	ignored  source.Ignore
	excluded source.Ignore // by --exclude, below what is copied
}

// skip tells what is left out of what is copied from below a directory.
func (f from) skip(below string) func(string, bool) (bool, bool) {
	return func(name string, dir bool) (bool, bool) {
		skip, descend := f.ignored.Ignores(name, dir)
		if inside := strings.TrimPrefix(strings.TrimPrefix(name, below), "/"); inside != "" {
			excluded, into := f.excluded.Ignores(inside, dir)
			return skip || excluded, descend && into
		}
		return skip, descend
	}
}

func closePieces(all []*piece) {
	for _, p := range all {
		if p.own {
			p.tree.Close()
		}
	}
}

// pieces finds what the words of a COPY name, and digests it.
func (w *work) pieces(ctx context.Context, c copyStep, f from, options rooted.Copy) (all []*piece, err error) {
	defer func() {
		if err != nil {
			closePieces(all)
		}
	}()
	for _, word := range c.SourcePaths {
		found, err := w.piecesOf(ctx, word, c, f, options)
		if err != nil {
			return all, err
		}
		all = append(all, found...)
	}
	for _, content := range c.SourceContents {
		data := content.Data
		all = append(all, &piece{target: content.Path, data: &data, digest: keyOf("text", nil, data)})
	}
	return all, nil
}

func (w *work) piecesOf(ctx context.Context, word string, c copyStep, f from, options rooted.Copy) ([]*piece, error) {
	repository, isGit := source.ParseRepository(word)
	isGit = isGit && !strings.HasPrefix(word, "github.com/") // that may be a directory
	switch {
	case isGit && !c.add:
		return nil, errors.New("source can't be a git ref for COPY")
	case isGit:
		p, err := w.clone(ctx, repository, c, options)
		return []*piece{p}, err
	case source.IsURL(word) && !c.add:
		return nil, errors.New("source can't be a URL for COPY")
	case source.IsURL(word):
		p, err := w.download(ctx, word, c)
		return []*piece{p}, err
	case c.checksum != "":
		return nil, errors.New("checksum can't be specified for non-HTTP(S) sources")
	default:
		return w.localPieces(word, c, f, options)
	}
}

// localPieces are what a path or pattern names. A pattern may name nothing.
func (w *work) localPieces(word string, c copyStep, f from, options rooted.Copy) ([]*piece, error) {
	if f.tree == nil {
		return nil, fmt.Errorf("%q: there is no build context: give a directory", word)
	}
	names, err := f.tree.Glob(word)
	if path.Clean("/"+word) == "/" {
		names, err = []string{"."}, nil
	}
	if err != nil {
		return nil, err
	}
	var all []*piece
	for _, name := range names {
		p, err := localPiece(word, name, c, f, options)
		if err != nil {
			return nil, err
		}
		if p != nil {
			all = append(all, p)
		}
	}
	if len(all) == 0 && !strings.ContainsAny(word, "*?[") {
		return nil, fmt.Errorf("failed to compute cache key: %q: not found", path.Clean("/"+word))
	}
	return all, nil
}

// localPiece is nil if it is left out.
func localPiece(word, name string, c copyStep, f from, options rooted.Copy) (*piece, error) {
	kind, err := f.tree.Kind(name)
	if err != nil {
		return nil, err
	}
	p := &piece{tree: f.tree, name: name, dir: kind == rooted.Directory, target: path.Base(name)}
	below := name
	if !p.dir {
		below = path.Dir(name)
	}
	if c.parents {
		below, p.target = pivot(word, name)
	}
	if below == "." {
		below = ""
	}
	p.skip = f.skip(below)
	skip, descend := false, true
	if name != "." {
		skip, descend = p.skip(name, p.dir)
	}
	if kind == rooted.Missing || skip && !(p.dir && descend) {
		return nil, nil
	}
	options.Leave = p.skip
	if p.digest, err = options.Digest(f.tree, name); err != nil {
		return nil, err
	}
	if c.add && !p.dir && (c.unpack == nil || *c.unpack) {
		p.archive, err = isArchive(f.tree, name)
	}
	return p, err
}

// pivot parts a path that COPY --parents has found where its pattern has "/./": what is before that is not kept.
func pivot(word, name string) (before, after string) {
	word, _, found := strings.Cut(strings.TrimPrefix(word, "./"), "/./")
	if !found || strings.Trim(path.Clean("/"+word), "/") == "" {
		return "", name
	}
	parts := strings.Split(name, "/")
	n := min(len(strings.Split(strings.Trim(path.Clean("/"+word), "/"), "/")), len(parts))
	return path.Join(parts[:n]...), path.Join(parts[n:]...)
}

// download fetches what ADD names by a URL. Its content goes into the key, so it is fetched by every build.
func (w *work) download(ctx context.Context, address string, c copyStep) (*piece, error) {
	dir, err := w.session.folder("download")
	if err != nil {
		return nil, err
	}
	p := &piece{url: address, file: filepath.Join(dir, "file")}
	if p.fetched, err = source.Fetch(ctx, address, p.file); err != nil {
		return nil, fmt.Errorf("ADD: %w", err)
	}
	p.target, p.digest = p.fetched.Name, p.fetched.Digest
	if p.target == "" {
		if strings.HasSuffix(c.DestPath, "/") {
			return nil, fmt.Errorf("ADD %s: it has no file name: give one in the destination", address)
		}
		p.target = "index"
	}
	if c.checksum != "" && c.checksum != "sha256:"+p.digest {
		return nil, fmt.Errorf("ADD %s: digest mismatch sha256:%s: %s", address, p.digest, c.checksum)
	}
	p.archive = c.unpack != nil && *c.unpack
	return p, nil
}

// clone checks out what ADD names in a git repository.
func (w *work) clone(ctx context.Context, repository source.Repository, c copyStep, options rooted.Copy) (*piece, error) {
	dir, err := w.session.folder("repository")
	if err != nil {
		return nil, err
	}
	commit, err := repository.Fetch(ctx, dir, c.keepGit != nil && *c.keepGit)
	if err != nil {
		return nil, fmt.Errorf("ADD: %w", err)
	}
	if c.checksum != "" && !strings.HasPrefix(commit, c.checksum) {
		return nil, fmt.Errorf("ADD %s: expected checksum to match %s, got %s", repository.Remote, c.checksum, commit)
	}
	tree, err := rooted.Open(dir)
	if err != nil {
		return nil, err
	}
	p := &piece{tree: tree, own: true, name: path.Join("/", repository.Subdir), dir: true}
	options.Leave = nil
	if p.digest, err = options.Digest(tree, p.name); err != nil {
		tree.Close()
		return nil, fmt.Errorf("ADD %s: %w", repository.Remote, err)
	}
	return p, nil
}

// isArchive tells whether ADD unpacks a file.
func isArchive(t *rooted.Tree, name string) (bool, error) {
	f, err := t.OpenFile(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return rooted.HoldsTar(f)
}
