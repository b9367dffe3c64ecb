package image

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

const (
	// hub is what users call the default registry, hubHost the name by which its protocol knows it.
	hub     = "docker.io"
	hubHost = "index.docker.io"
)

// parse reads a reference as users type it: "nginx" is docker.io/library/nginx:latest. Loopback registries are
// spoken to without TLS.
func parse(ref string) (name.Reference, error) {
	r, err := name.ParseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrInvalidName, ref, err)
	}
	return r, nil
}

// normalize gives a reference its one full spelling. With a tag and a digest, the digest counts.
func normalize(ref string) (string, error) {
	r, err := parse(ref)
	if err != nil {
		return "", err
	}
	return spell(r), nil
}

func spell(r name.Reference) string {
	return repository(r.Context()) + separator(r) + r.Identifier()
}

func separator(r name.Reference) string {
	if _, ok := r.(name.Digest); ok {
		return "@"
	}
	return ":"
}

// repository is the name of r with the default registry spelled as users do.
func repository(r name.Repository) string {
	return strings.Replace(r.Name(), hubHost+"/", hub+"/", 1)
}
