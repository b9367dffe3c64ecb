package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/confine"
	"dhow/container/shim"
	"dhow/internal/rootfs"
)

// mount is the configuration's mount of an index in the shim's words.
func (c *container) mount(i int, m *cri.Mount) (shim.Mount, error) {
	out := shim.Mount{
		Target: m.ContainerPath, ReadOnly: m.Readonly, Recursive: m.RecursiveReadOnly, MustMap: len(m.UidMappings)+len(m.GidMappings) > 0,
		Propagation: map[cri.MountPropagation]uint64{
			cri.MountPropagation_PROPAGATION_PRIVATE:           unix.MS_PRIVATE,
			cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER: unix.MS_SLAVE,
			cri.MountPropagation_PROPAGATION_BIDIRECTIONAL:     unix.MS_SHARED,
		}[m.Propagation],
	}
	if !filepath.IsAbs(m.ContainerPath) {
		return out, fmt.Errorf("container path %q is not absolute", m.ContainerPath)
	}
	var err error
	if out.Attributes, err = mountAttributes(m.MountOptions); err != nil {
		return out, err
	}
	if m.GetImage().GetImage() != "" {
		s := c.images[i]
		out.Source, out.SubPath = "image "+m.Image.Image, strings.TrimPrefix(filepath.Clean("/"+m.ImageSubPath), "/")
		out.Image = &shim.Root{Lower: s.Lower, Upper: s.Upper, Work: s.Work}
		return out, nil
	}
	out.Source, err = filepath.EvalSymlinks(m.HostPath)
	if err == nil && m.SelinuxRelabel {
		err = confine.Relabel(out.Source, c.config.GetLinux().GetSecurityContext().GetSelinuxOptions())
	}
	return out, err
}

func mountAttributes(options []string) (int, error) {
	all := 0
	for _, option := range options {
		attribute, known := map[string]int{"noexec": unix.MOUNT_ATTR_NOEXEC, "nodev": unix.MOUNT_ATTR_NODEV, "nosuid": unix.MOUNT_ATTR_NOSUID}[option]
		if !known {
			return 0, fmt.Errorf("unknown mount option %q (there is: noexec, nodev, nosuid)", option)
		}
		all |= attribute
	}
	return all, nil
}

// imagesFile lists the keys of the snapshots that mounts of images use. It is written before they are made.
const imagesFile = "images.json"

// mountImages takes snapshots of the images that are to be mounted, so that they stay.
func (e *Engine) mountImages(ctx context.Context, c *container) error {
	var keys []string
	for i, m := range c.config.Mounts {
		switch {
		case m.GetImage().GetImage() == "":
			continue
		case m.HostPath != "":
			return fmt.Errorf("mount on %s: it has a path on the host (%s) and an image (%s); one is possible", m.ContainerPath, m.HostPath, m.Image.Image)
		case slices.Contains(strings.Split(m.ImageSubPath, "/"), ".."):
			return fmt.Errorf("mount on %s: path in the image %q must not contain '..'", m.ContainerPath, m.ImageSubPath)
		}
		keys = append(keys, fmt.Sprintf("%s-mount%d", c.ID, i))
	}
	if len(keys) == 0 {
		return nil
	}
	if err := writeJSON(filepath.Join(c.dir, imagesFile), keys); err != nil {
		return err
	}
	c.images = map[int]*rootfs.Snapshot{}
	for i, m := range c.config.Mounts {
		if m.GetImage().GetImage() == "" {
			continue
		}
		s, err := e.config.Images.Snapshot(ctx, fmt.Sprintf("%s-mount%d", c.ID, i), m.Image.Image)
		if err != nil {
			return fmt.Errorf("mount on %s: %w", m.ContainerPath, err)
		}
		c.images[i] = s
	}
	return nil
}

// forgetImages gives the images back, also those of a container whose record is not whole.
func (e *Engine) forgetImages(c *container) error {
	data, err := os.ReadFile(filepath.Join(c.dir, imagesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var keys []string
	if err == nil {
		err = json.Unmarshal(data, &keys)
	}
	for _, key := range keys {
		err = errors.Join(err, e.config.Images.RemoveSnapshot(context.Background(), key))
	}
	return err
}
