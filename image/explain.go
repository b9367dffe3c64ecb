package image

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sys/unix"
)

// explain puts a failure in the user's terms, on one line.
func explain(ref string, asked name.Reference, err error) error {
	registry := asked.Context().RegistryStr()
	var refused *transport.Error
	if !errors.As(err, &refused) {
		if errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("pull %s: no space left on device for images: free some, or remove images: %w", ref, err)
		}
		return fmt.Errorf("pull %s from %s: %w", ref, registry, err)
	}
	ofPart := refused.Request != nil && strings.Contains(refused.Request.URL.Path, "/blobs/")
	switch {
	case refused.StatusCode == http.StatusNotFound && ofPart:
		return fmt.Errorf("pull %s: %s has a manifest of it, but not all its parts: %s", ref, registry, answer(refused))
	case refused.StatusCode == http.StatusNotFound:
		return fmt.Errorf("pull %s: %w: %s has no such image", ref, ErrNotFound, registry)
	case refused.StatusCode == http.StatusUnauthorized, refused.StatusCode == http.StatusForbidden:
		return fmt.Errorf("pull %s: %w: %s", ref, ErrUnauthorized, answer(refused))
	default:
		return fmt.Errorf("pull %s from %s: %s", ref, registry, answer(refused))
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

// otherPlatforms is err, or says that an index has no image for this machine, and for which it has.
func otherPlatforms(found *remote.Descriptor, err error) error {
	if !found.MediaType.IsIndex() {
		return err
	}
	index, indexErr := found.ImageIndex()
	if indexErr != nil {
		return err
	}
	manifest, indexErr := index.IndexManifest()
	if indexErr != nil {
		return err
	}
	if slices.ContainsFunc(manifest.Manifests, ours) {
		return err
	}
	return noneForThisMachine(manifest)
}

// ours tells whether an entry of an index is an image for this machine.
func ours(d v1.Descriptor) bool {
	return d.Platform != nil && d.Platform.OS == "linux" && d.Platform.Architecture == runtime.GOARCH
}

func noneForThisMachine(index *v1.IndexManifest) error {
	var others []string
	for _, d := range index.Manifests {
		if p := d.Platform; p != nil && p.OS != "unknown" { // such entries are attestations
			others = append(others, p.String())
		}
	}
	return fmt.Errorf("no image for linux/%s, only for %s", runtime.GOARCH, strings.Join(others, ", "))
}
