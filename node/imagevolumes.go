package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// volumeImages sees to it that the images are here that a container mounts as volumes (KEP-4639), by the volumes' names.
func (s *starter) volumeImages(ctx context.Context, c *corev1.Container) (ids map[string]string, why string, err error) {
	ids = map[string]string{}
	for _, m := range c.VolumeMounts {
		i := slices.IndexFunc(s.pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name && v.Image != nil })
		if i < 0 || ids[m.Name] != "" {
			continue
		}
		v := s.pod.Spec.Volumes[i].Image
		if v.Reference == "" {
			return nil, reasonConfig, configError{fmt.Errorf("volume %q: image.reference is empty", m.Name)}
		}
		found, why, err := s.image(ctx, &corev1.Container{Name: c.Name, Image: v.Reference, ImagePullPolicy: v.PullPolicy})
		if err != nil {
			return nil, why, err
		}
		ids[m.Name] = found.Id
	}
	return ids, "", nil
}

// imageMount is an image, or a path in it, in CRI's terms.
func imageMount(v *corev1.ImageVolumeSource, id string, m *corev1.VolumeMount, env map[string]string) (*cri.Mount, error) {
	if id == "" {
		return nil, errors.New("the image of volume " + m.Name + " is not here")
	}
	sub, err := subPath(m, env)
	return &cri.Mount{
		ContainerPath: m.MountPath, Readonly: true, Image: &cri.ImageSpec{Image: id, UserSpecifiedImage: v.Reference}, ImageSubPath: sub,
	}, err
}

// mountStatuses tell how volumes are mounted.
func (w *worker) mountStatuses(ctx context.Context, pod *corev1.Pod, c *corev1.Container, i *instance) []corev1.VolumeMountStatus {
	handler, _ := w.node.handler(pod) // without its class it would not run
	var all []corev1.VolumeMountStatus
	for _, m := range c.VolumeMounts {
		status := corev1.VolumeMountStatus{Name: m.Name, MountPath: m.MountPath, ReadOnly: m.ReadOnly}
		if m.ReadOnly {
			mode := corev1.RecursiveReadOnlyDisabled
			if recursive, err := w.node.features.readOnlyBelow(&m, handler); recursive && err == nil {
				mode = corev1.RecursiveReadOnlyEnabled
			}
			status.RecursiveReadOnly = &mode
		}
		status.VolumeStatus = w.imageStatus(ctx, i, m.MountPath)
		all = append(all, status)
	}
	return all
}

// imageStatus tells which image is mounted on a path, nil if it is none.
func (w *worker) imageStatus(ctx context.Context, i *instance, path string) *corev1.VolumeStatus {
	for _, m := range i.Mounts {
		if id := m.GetImage().GetImage(); id != "" && filepath.Clean(m.ContainerPath) == filepath.Clean(path) {
			return &corev1.VolumeStatus{Image: &corev1.ImageVolumeStatus{ImageRef: w.imageRef(ctx, id)}}
		}
	}
	return nil
}
