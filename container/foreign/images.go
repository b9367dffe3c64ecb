package foreign

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	securejoin "github.com/cyphar/filepath-securejoin"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// withImages mounts the images that a container wants as volumes in its bundle's folder, and returns a configuration
// that has them as folders of the machine.
func (r *Runtime) withImages(ctx context.Context, b bundle, config *cri.ContainerConfig) (*cri.ContainerConfig, error) {
	own := proto.Clone(config).(*cri.ContainerConfig)
	for i, m := range own.Mounts {
		if m.GetImage().GetImage() == "" {
			continue
		}
		source, err := r.mountImage(ctx, b, fmt.Sprintf("mount%d", i), m)
		if err != nil {
			return nil, fmt.Errorf("mount on %s: %w", m.ContainerPath, err)
		}
		own.Mounts[i] = &cri.Mount{ContainerPath: m.ContainerPath, HostPath: source, Readonly: true, MountOptions: []string{"noexec", "nodev", "nosuid"}}
	}
	return own, nil
}

func (r *Runtime) mountImage(ctx context.Context, b bundle, name string, m *cri.Mount) (string, error) {
	at := filepath.Join(b.dir, name)
	if err := os.Mkdir(at, 0o755); err != nil {
		return "", err
	}
	snapshot, err := r.config.Images.Snapshot(ctx, b.key+"-"+name, m.Image.Image)
	if err != nil {
		return "", err
	}
	if err := mountRoot(at, snapshot); err != nil {
		return "", err
	}
	source, err := securejoin.SecureJoin(at, m.ImageSubPath)
	if err != nil {
		return "", err
	}
	if _, err := os.Lstat(source); err != nil {
		return "", fmt.Errorf("the image has no %q", m.ImageSubPath)
	}
	return source, nil
}

// unmountAll gives back what is mounted in a bundle's folder.
func (r *Runtime) unmountAll(key string) error {
	mounted, err := filepath.Glob(filepath.Join(r.dirOf(key), "mount*"))
	for _, at := range mounted {
		err = errors.Join(err, unmount(at), r.config.Images.RemoveSnapshot(context.Background(), key+"-"+filepath.Base(at)))
	}
	return errors.Join(err, unmount(filepath.Join(r.dirOf(key), "rootfs")))
}

func unmount(at string) error {
	err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return fmt.Errorf("unmount %s: %w", at, err)
}
