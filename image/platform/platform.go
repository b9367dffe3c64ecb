// Package platform says which image of an index is for which machine.
package platform

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Here is the platform of images that run here.
func Here() v1.Platform { return v1.Platform{OS: "linux", Architecture: runtime.GOARCH} }

// Parse reads "linux/arm64", "linux/arm/v7" or "arm64"; empty is this machine's.
func Parse(text string) (v1.Platform, error) {
	if text == "" {
		return Here(), nil
	}
	parts := strings.Split(text, "/")
	if len(parts) == 1 && parts[0] != "linux" {
		parts = []string{"linux", parts[0]}
	}
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return v1.Platform{}, fmt.Errorf("platform %q is not one such as linux/arm64 or linux/arm/v7", text)
	}
	p := v1.Platform{OS: parts[0], Architecture: architecture(parts[1])}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return p, nil
}

// architecture spells those that have other names as Go and OCI do.
func architecture(name string) string {
	switch name {
	case "x86_64", "x86-64":
		return "amd64"
	case "aarch64":
		return "arm64"
	case "armhf":
		return "arm"
	case "i386":
		return "386"
	default:
		return name
	}
}

// usual is the variant that an architecture without one stands for.
func usual(p v1.Platform) string {
	switch {
	case p.Variant != "":
		return p.Variant
	case p.Architecture == "arm64":
		return "v8"
	case p.Architecture == "arm":
		return "v7"
	default:
		return "v1"
	}
}

// runsOn tells whether an image for one platform runs on another: that of its variant or a later one.
func runsOn(is, want v1.Platform) bool {
	return is.OS == want.OS && is.Architecture == want.Architecture && usual(is) <= usual(want)
}

// Choose picks the entry of an index for a platform: the very one first, then the nearest variant before it, and one that says
// no platform last.
func Choose(index *v1.IndexManifest, want v1.Platform) (v1.Descriptor, error) {
	var other, unsaid *v1.Descriptor
	for i, d := range index.Manifests {
		switch {
		case d.Platform == nil || d.Platform.OS == "" && d.Platform.Architecture == "":
			if unsaid == nil {
				unsaid = &index.Manifests[i]
			}
		case !runsOn(*d.Platform, want):
		case usual(*d.Platform) == usual(want):
			return d, nil
		case other == nil || usual(*d.Platform) > usual(*other.Platform):
			other = &index.Manifests[i]
		}
	}
	if other != nil {
		return *other, nil
	}
	if unsaid != nil {
		return *unsaid, nil
	}
	return v1.Descriptor{}, noneFor(index, want)
}

func noneFor(index *v1.IndexManifest, want v1.Platform) error {
	var others []string
	for _, d := range index.Manifests {
		if p := d.Platform; p != nil && p.OS != "unknown" { // such entries are attestations
			others = append(others, p.String())
		}
	}
	return fmt.Errorf("no image for %s, only for %s", want.String(), strings.Join(others, ", "))
}
