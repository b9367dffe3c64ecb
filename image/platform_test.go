package image

import (
	"runtime"
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
		p, err := parsePlatform(want)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := choose(index, p); err != nil || d.Digest.Hex != digest {
			t.Errorf("%s: %v, %v", want, d.Digest, err)
		}
	}
	for _, bad := range []string{"linux", "linux/", "a/b/c/d", "/"} {
		if _, err := parsePlatform(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, err := choose(index, v1.Platform{OS: "linux", Architecture: "s390x"}); err == nil {
		t.Error("an image for another machine was chosen")
	}
	if d, err := choose(&v1.IndexManifest{Manifests: []v1.Descriptor{entry('9', "")}}, thisMachine()); err != nil || d.Digest.Hex != "9" {
		t.Errorf("one without a platform: %v, %v", d, err)
	}
}

func TestAnImageForAnotherPlatformIsPulledOnDemand(t *testing.T) {
	host, s := serve(t, nil), newStore(t)
	platforms(t, host+"/many:1", runtime.GOARCH, "s390x")
	p, err := s.Pull(t.Context(), host+"/many:1", PullOptions{Platform: "linux/s390x"})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := s.Inspect(t.Context(), p.ID); err != nil || d.Spec.Architecture != "s390x" {
		t.Errorf("it is for %v, %v", d, err)
	}
	own := pulled(t, s, host+"/many:1")
	if own.ID == p.ID || own.Digest != p.Digest || !own.New {
		t.Errorf("for this machine: %+v, before %+v", own, p)
	}
}
