// Package source is what a build copies from: the directory or archive that is its context, without what
// .dockerignore names.
package source

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"dhow/image/build/rooted"
)

// ignoreMost bounds a .dockerignore.
const ignoreMost = 1 << 20

// Ignore are the patterns of a .dockerignore.
type Ignore struct {
	matcher *patternmatcher.PatternMatcher
}

// ReadIgnore reads <dockerfile>.dockerignore, else .dockerignore, of a context; without either nothing is ignored.
func ReadIgnore(tree *rooted.Tree, dockerfile string) (Ignore, error) {
	for _, name := range []string{dockerfile + ".dockerignore", ".dockerignore"} {
		data, err := tree.ReadFile(name, ignoreMost)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Ignore{}, err
		}
		return ParseIgnore(name, data)
	}
	return Ignore{}, nil
}

// ParseIgnore reads the patterns of a file.
func ParseIgnore(name string, data []byte) (Ignore, error) {
	patterns, err := ignorefile.ReadAll(bytes.NewReader(data))
	if err != nil {
		return Ignore{}, fmt.Errorf("%s: %w", name, err)
	}
	return NewIgnore(name, patterns)
}

// NewIgnore compiles patterns; name is where they come from.
func NewIgnore(name string, patterns []string) (Ignore, error) {
	if len(patterns) == 0 {
		return Ignore{}, nil
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return Ignore{}, fmt.Errorf("%s: %w", name, err)
	}
	return Ignore{matcher}, nil
}

// Ignores tells whether a path is ignored, and, of a directory, whether something in it may not be.
func (i Ignore) Ignores(name string, dir bool) (ignored, descend bool) {
	if i.matcher == nil {
		return false, true
	}
	ignored, err := i.matcher.MatchesOrParentMatches(path.Clean(name))
	if err != nil {
		return false, true // New has tried the patterns
	}
	return ignored, dir && i.matcher.Exclusions()
}
