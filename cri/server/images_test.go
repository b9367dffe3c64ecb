package server

import (
	"context"
	"errors"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/image"
)

// noImages has one image, under a name and its id, and can pull nothing.
type noImages struct{ removed *string }

func (noImages) PullImage(context.Context, string, *cri.AuthConfig, func(image.Progress)) (string, error) {
	return "", errors.New("there is no network")
}

func (noImages) ImageStatus(_ context.Context, ref string) (*cri.Image, error) {
	if ref == "tool" || ref == "sha256:1" {
		return &cri.Image{Id: "sha256:1"}, nil
	}
	return nil, nil
}

func (noImages) ListImages(context.Context) ([]*cri.Image, error) {
	return []*cri.Image{{Id: "sha256:1"}}, nil
}

func (n noImages) RemoveImage(_ context.Context, ref string) error {
	*n.removed = ref
	return nil
}

func (noImages) UsedBytes(context.Context) (uint64, error) { return 7, nil }

func TestAnImageIsRemovedWithAllItsNames(t *testing.T) {
	removed := ""
	s := &imageService{Config: Config{Images: noImages{&removed}}}
	for ref, want := range map[string]string{"tool": "sha256:1", "none": ""} {
		removed = ""
		if _, err := s.RemoveImage(t.Context(), &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: ref}}); err != nil || removed != want {
			t.Errorf("%s: removed %q, %v", ref, removed, err)
		}
	}
}

func TestImagesAreFilteredByReference(t *testing.T) {
	s := &imageService{Config: Config{Images: noImages{}}}
	for ref, want := range map[string]int{"": 1, "tool": 1, "none": 0} {
		answer, err := s.ListImages(t.Context(), &cri.ListImagesRequest{Filter: &cri.ImageFilter{Image: &cri.ImageSpec{Image: ref}}})
		if err != nil || len(answer.Images) != want {
			t.Errorf("%q: %v, %v", ref, answer, err)
		}
	}
}
