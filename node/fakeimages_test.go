package node

import (
	"context"
	"errors"
	"fmt"
	"sync"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/image"
)

var errUnused = errors.New("the agent does not do this")

// fakeImages has the images that a test says, and refuses to pull others.
type fakeImages struct {
	mu      sync.Mutex
	present map[string]bool
	remote  map[string]bool
	pulls   int
}

var _ image.Service = (*fakeImages)(nil)

func (f *fakeImages) PullImage(_ context.Context, ref string, _ *cri.AuthConfig, _ func(image.Progress)) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pulls++
	if !f.remote[ref] {
		return "", fmt.Errorf("%s: %w", ref, image.ErrNotFound)
	}
	f.present[ref] = true
	return ref, nil
}

func (f *fakeImages) ImageStatus(_ context.Context, ref string) (*cri.Image, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.present[ref] {
		return nil, nil
	}
	return &cri.Image{Id: ref}, nil
}

func (f *fakeImages) ListImages(context.Context) ([]*cri.Image, error) { return nil, nil }
func (f *fakeImages) RemoveImage(context.Context, string) error        { return errUnused }
func (f *fakeImages) UsedBytes(context.Context) (uint64, error)        { return 0, errUnused }
