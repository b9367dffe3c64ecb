// Package names spells references to images: as users type them, in full, and short.
package names

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

const (
	// Hub is what users call the default registry, hubHost the name by which its protocol knows it.
	Hub     = "docker.io"
	hubHost = "index.docker.io"
	// longest is more than any registry takes; the store's own limit keeps errors short.
	longest = 4096
)

// ErrInvalid is matched with errors.Is when a text is no reference.
var ErrInvalid = errors.New("invalid image name")

// Parse reads a reference as users type it: "nginx" is docker.io/library/nginx:latest. Loopback registries are
// spoken to without TLS. With a tag and a digest, the digest counts.
func Parse(ref string) (name.Reference, error) {
	if len(ref) > longest {
		return nil, fmt.Errorf("%w: %q… is longer than %d bytes", ErrInvalid, ref[:40], longest)
	}
	r, err := name.ParseReference(ref)
	if err == nil && strings.HasPrefix(r.Context().RegistryStr(), ".") {
		err = errors.New("a registry's name does not begin with a dot")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrInvalid, ref, err)
	}
	return r, nil
}

// Normalize gives a reference its one full spelling.
func Normalize(ref string) (string, error) {
	r, err := Parse(ref)
	if err != nil {
		return "", err
	}
	return Spell(r), nil
}

// Spell is the full spelling of a reference: docker.io/library/nginx:latest.
func Spell(r name.Reference) string {
	return Repository(r.Context()) + Separator(r) + r.Identifier()
}

// Separator is what stands between repository and identifier: "@" before a digest, ":" before a tag.
func Separator(r name.Reference) string {
	if _, ok := r.(name.Digest); ok {
		return "@"
	}
	return ":"
}

// Repository is the full name of r, with the default registry spelled as users do.
func Repository(r name.Repository) string {
	return strings.Replace(r.Name(), hubHost+"/", Hub+"/", 1)
}

// Host is the registry of r as users call it.
func Host(r name.Repository) string {
	if host := r.RegistryStr(); host != hubHost {
		return host
	}
	return Hub
}

// RepositoryOf is the full repository of a reference; ok is false when it is none.
func RepositoryOf(ref string) (repository string, ok bool) {
	r, err := Parse(ref)
	if err != nil {
		return "", false
	}
	return Repository(r.Context()), true
}

// Familiar is a full spelling as docker shows it: nginx:latest for docker.io/library/nginx:latest.
func Familiar(full string) string {
	if short, ok := strings.CutPrefix(full, Hub+"/library/"); ok {
		return short
	}
	return strings.TrimPrefix(full, Hub+"/")
}

// Cut divides a full spelling into repository, tag and digest; one of the last two is empty.
func Cut(full string) (repository, tag, digest string) {
	if repository, digest, ok := strings.Cut(full, "@"); ok {
		return repository, "", digest
	}
	at := strings.LastIndex(full, ":")
	if at < 0 || strings.Contains(full[at:], "/") {
		return full, "", ""
	}
	return full[:at], full[at+1:], ""
}
