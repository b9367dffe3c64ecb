package platform

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestTheRightImageOfAnIndexIsChosen(t *testing.T) {
	entry := func(digest byte, platform string) v1.Descriptor {
		d := v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: string(digest)}}
		if platform != "" {
			p, err := v1.ParsePlatform(platform)
			if err != nil {
				t.Fatal(err)
			}
			d.Platform = p
		}
		return d
	}
	index := &v1.IndexManifest{Manifests: []v1.Descriptor{
		entry('0', "unknown/unknown"), entry('1', "linux/amd64"), entry('2', "linux/arm/v6"), entry('3', "linux/arm/v7"),
		entry('4', "linux/arm64/v8"), entry('5', "windows/amd64"), entry('6', "linux/amd64/v3"),
	}}
	for want, digest := range map[string]string{
		"linux/amd64": "1", "linux/x86_64": "1", "amd64": "1", "linux/arm": "3", "linux/arm/v6": "2", "linux/arm64": "4", "aarch64": "4",
		"windows/amd64": "5", "linux/amd64/v3": "6",
	} {
		p, err := Parse(want)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := Choose(index, p); err != nil || d.Digest.Hex != digest {
			t.Errorf("%s: %v, %v", want, d.Digest, err)
		}
	}
	old := &v1.IndexManifest{Manifests: []v1.Descriptor{entry('1', "linux/arm/v5"), entry('2', "linux/arm/v6"), entry('3', "linux/arm/v5"), entry('4', "linux/arm/v8")}}
	for _, want := range []string{"linux/arm", "linux/arm/v7"} {
		p, err := Parse(want)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := Choose(old, p); err != nil || d.Digest.Hex != "2" {
			t.Errorf("%s: %v, %v, want the nearest before it", want, d.Digest, err)
		}
	}
	for _, bad := range []string{"linux", "linux/", "a/b/c/d", "/"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, err := Choose(index, v1.Platform{OS: "linux", Architecture: "s390x"}); err == nil {
		t.Error("an image for another machine was chosen")
	}
	if d, err := Choose(&v1.IndexManifest{Manifests: []v1.Descriptor{entry('9', "")}}, Here()); err != nil || d.Digest.Hex != "9" {
		t.Errorf("one without a platform: %v, %v", d, err)
	}
}
