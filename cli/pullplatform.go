package cli

import (
	"context"
	"fmt"
	"runtime"

	"dhow/image"
)

// checkPlatform refuses what containers of this machine cannot be.
func checkPlatform(platform string) error {
	if own := "linux/" + runtime.GOARCH; platform != "" && platform != own {
		return fmt.Errorf("--platform %s: this machine runs containers for %s", platform, own)
	}
	return nil
}

// pullPlatform pulls an image for this machine's platform; containers of others cannot run on it.
func pullPlatform(ctx context.Context, images *image.Store, ref, platform string, progress func(image.Progress)) error {
	if err := checkPlatform(platform); err != nil {
		return err
	}
	_, err := images.Pull(ctx, ref, image.PullOptions{Progress: progress})
	return err
}
