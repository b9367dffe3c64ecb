package client_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/containertest"
	"dhow/cri/client"
	"dhow/image"
)

// fakeImages has the images that were pulled, and can pull those that need a password or none.
type fakeImages struct {
	mu      sync.Mutex
	present map[string]bool
}

var _ image.Service = (*fakeImages)(nil)

func (f *fakeImages) PullImage(_ context.Context, ref string, auth *cri.AuthConfig, _ func(image.Progress)) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case ref == "nowhere":
		return "", fmt.Errorf("pull %s: %w", ref, image.ErrNotFound)
	case ref == "UPPER":
		return "", fmt.Errorf("pull %s: %w", ref, image.ErrInvalidName)
	case ref == "secret" && auth.GetPassword() != "sesame":
		return "", fmt.Errorf("pull %s: %w", ref, image.ErrUnauthorized)
	}
	if f.present == nil {
		f.present = map[string]bool{}
	}
	f.present["sha256:"+ref] = true
	return "sha256:" + ref, nil
}

func (f *fakeImages) ImageStatus(_ context.Context, ref string) (*cri.Image, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range []string{ref, "sha256:" + ref} {
		if f.present[id] {
			return &cri.Image{Id: id, Size: 5}, nil
		}
	}
	return nil, nil
}

func (f *fakeImages) ListImages(context.Context) ([]*cri.Image, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*cri.Image
	for _, id := range slices.Sorted(maps.Keys(f.present)) {
		all = append(all, &cri.Image{Id: id})
	}
	return all, nil
}

func (f *fakeImages) RemoveImage(_ context.Context, ref string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.present, ref)
	return nil
}

func (f *fakeImages) UsedBytes(context.Context) (uint64, error) { return 12345, nil }

func newImages(t *testing.T) *client.Images {
	t.Helper()
	_, config := over(t, containertest.NewFake(), &fakeImages{})
	images, err := client.NewImages(config)
	if err != nil {
		t.Fatal(err)
	}
	background(t, images.Run)
	return images
}

func TestImagesComeAndGoOverCRI(t *testing.T) {
	images, ctx := newImages(t), t.Context()
	if found, err := images.ImageStatus(ctx, "tool"); err != nil || found != nil {
		t.Fatalf("before the pull: %v, %v", found, err)
	}
	id, err := images.PullImage(ctx, "tool", nil, nil)
	if err != nil || id != "sha256:tool" {
		t.Fatalf("pull: %q, %v", id, err)
	}
	if found, err := images.ImageStatus(ctx, "tool"); err != nil || found.GetId() != id || found.GetSize() != 5 {
		t.Errorf("after the pull: %v, %v", found, err)
	}
	if all, err := images.ListImages(ctx); err != nil || len(all) != 1 || all[0].Id != id {
		t.Errorf("list: %v, %v", all, err)
	}
	for range 2 {
		if err := images.RemoveImage(ctx, "tool"); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := images.ListImages(ctx); err != nil || len(all) != 0 {
		t.Errorf("list after removal: %v, %v", all, err)
	}
	if used, err := images.UsedBytes(ctx); err != nil || used != 12345 {
		t.Errorf("used: %d, %v", used, err)
	}
}

func TestErrorsOfPullsAreToldApart(t *testing.T) {
	images := newImages(t)
	for ref, want := range map[string]error{"nowhere": image.ErrNotFound, "UPPER": image.ErrInvalidName, "secret": image.ErrUnauthorized} {
		if _, err := images.PullImage(t.Context(), ref, nil, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", ref, err, want)
		}
	}
	if _, err := images.PullImage(t.Context(), "secret", &cri.AuthConfig{Password: "sesame"}, nil); err != nil {
		t.Errorf("with the password: %v", err)
	}
}
