package build

import (
	"context"
	"strings"

	"dhow/image"
)

// historyNote is what each line of history says; after keyNote comes the key of the step, if the image is to serve as a
// cache.
const (
	historyNote = "dhow.dockerfile"
	keyNote     = historyNote + " key="
)

// importCaches takes up the keys that images tell. One that cannot be had is told of, and does not end the build.
func (w *work) importCaches(ctx context.Context) {
	for _, ref := range w.CacheFrom {
		step := w.Display.Step("importing cache manifest from " + ref)
		err := w.importCache(ctx, ref)
		if err != nil {
			step.Status("WARN: %v", err)
		}
		step.End(nil)
	}
}

func (w *work) importCache(ctx context.Context, ref string) error {
	pulled, err := w.config.Images.Pull(ctx, ref, image.PullOptions{Platform: w.Platform})
	if err != nil {
		return err
	}
	if err := w.session.lease.HoldImage(pulled.ID); err != nil {
		return err
	}
	found, err := w.config.Images.Inspect(ctx, pulled.ID)
	if err != nil {
		return err
	}
	next := 0
	for _, h := range found.Spec.History {
		if h.EmptyLayer {
			continue
		}
		if next >= len(found.Layers) {
			break
		}
		layer := found.Layers[next]
		next++
		key, ok := strings.CutPrefix(h.Comment, keyNote)
		if !ok {
			continue
		}
		made := cached{DiffID: layer.DiffID, Size: layer.Size, Step: h.CreatedBy}
		if h.Created != nil {
			made.Created = *h.Created
		}
		w.cache.imported[key] = made
	}
	return nil
}
