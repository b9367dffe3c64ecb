package registry

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sys/unix"
)

// Errors a caller branches on.
var (
	ErrNotFound     = errors.New("image not found")
	ErrUnauthorized = errors.New("registry denied access")
)

// Explain puts a failure in the user's terms, on one line; verb is "pull" or "push".
func Explain(verb, ref string, asked name.Reference, err error) error {
	registry := asked.Context().RegistryStr()
	var refused *transport.Error
	if !errors.As(err, &refused) {
		if errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("%s %s: no space left on device for images: free some, or remove images: %w", verb, ref, err)
		}
		return fmt.Errorf("%s %s from %s: %w", verb, ref, registry, err)
	}
	ofPart := refused.Request != nil && strings.Contains(refused.Request.URL.Path, "/blobs/")
	switch {
	case refused.StatusCode == http.StatusNotFound && ofPart:
		return fmt.Errorf("%s %s: %s has a manifest of it, but not all its parts: %s", verb, ref, registry, answer(refused))
	case refused.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s %s: %w: %s has no such image", verb, ref, ErrNotFound, registry)
	case refused.StatusCode == http.StatusUnauthorized, refused.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s %s: %w: %s (dhow login %s proves who you are)", verb, ref, ErrUnauthorized, answer(refused), registry)
	default:
		return fmt.Errorf("%s %s from %s: %s", verb, ref, registry, answer(refused))
	}
}

// answer is what a registry answered, and to what.
func answer(refused *transport.Error) string {
	text := fmt.Sprintf("registry answers %d %s", refused.StatusCode, http.StatusText(refused.StatusCode))
	if r := refused.Request; r != nil {
		text += " to " + r.Method + " " + r.URL.Redacted()
	}
	for _, d := range refused.Errors {
		text += ": " + strings.Join(strings.Fields(string(d.Code)+" "+d.Message), " ")
	}
	return text
}
