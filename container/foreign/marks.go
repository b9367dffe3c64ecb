package foreign

import (
	"context"
	"encoding/json"
	"maps"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/encoding/protojson"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// What a pod and a container of ours are remembered by, in the engine's records.
// Callers do not see them.
const (
	markPrefix  = "dhow.runtime/"
	handlerMark = markPrefix + "handler"
	bundleMark  = markPrefix + "bundle"
	imageMark   = markPrefix + "image"
	programMark = markPrefix + "program"
	userMark    = markPrefix + "user"
	mountsMark  = markPrefix + "mounts"
)

// marks are the annotations with what has to be remembered of a container.
func (b bundle) marks(annotations map[string]string, program string, mounts []*cri.Mount) map[string]string {
	all := with(with(with(annotations, bundleMark, b.key), imageMark, b.imageID), programMark, program)
	if len(mounts) > 0 {
		data, _ := protojson.Marshal(&cri.ContainerConfig{Mounts: mounts}) // strings that have come as such
		all[mountsMark] = string(data)
	}
	data, _ := json.Marshal(b.user) // numbers only
	return with(all, userMark, string(data))
}

func with(m map[string]string, key, value string) map[string]string {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]string{}
	}
	m[key] = value
	return m
}

// unmarked are the annotations that the caller gave.
func unmarked(annotations map[string]string) map[string]string {
	own := maps.Clone(annotations)
	maps.DeleteFunc(own, func(key, _ string) bool { return strings.HasPrefix(key, markPrefix) })
	return own
}

// PodSandboxStatus implements container.Runtime.
func (r *Runtime) PodSandboxStatus(ctx context.Context, id string) (*cri.PodSandboxStatus, error) {
	s, err := r.Engine.PodSandboxStatus(ctx, id)
	if handler := s.GetAnnotations()[handlerMark]; handler != "" {
		s.RuntimeHandler, s.Annotations = handler, unmarked(s.Annotations)
	}
	return s, err
}

// ListPodSandbox implements container.Runtime.
func (r *Runtime) ListPodSandbox(ctx context.Context, filter *cri.PodSandboxFilter) ([]*cri.PodSandbox, error) {
	list, err := r.Engine.ListPodSandbox(ctx, filter)
	for _, s := range list {
		if handler := s.Annotations[handlerMark]; handler != "" {
			s.RuntimeHandler, s.Annotations = handler, unmarked(s.Annotations)
		}
	}
	return list, err
}

// ContainerStatus implements container.Runtime. To the engine, it is the program that runs, as root.
func (r *Runtime) ContainerStatus(ctx context.Context, id string) (*cri.ContainerStatus, error) {
	s, err := r.Engine.ContainerStatus(ctx, id)
	image := s.GetAnnotations()[imageMark]
	if image == "" {
		return s, err
	}
	s.ImageRef, s.ImageId = image, image
	if s.User != nil {
		s.User = userOf(s.Annotations[userMark])
	}
	var asked cri.ContainerConfig
	if text := s.Annotations[mountsMark]; text != "" && protojson.Unmarshal([]byte(text), &asked) == nil {
		s.Mounts = asked.Mounts
	}
	s.Annotations = unmarked(s.Annotations)
	return s, err
}

// userOf reads what marks has written.
func userOf(mark string) *cri.ContainerUser {
	var who specs.User
	if json.Unmarshal([]byte(mark), &who) != nil {
		return nil
	}
	u := &cri.LinuxContainerUser{Uid: int64(who.UID), Gid: int64(who.GID)}
	for _, g := range who.AdditionalGids {
		u.SupplementalGroups = append(u.SupplementalGroups, int64(g))
	}
	return &cri.ContainerUser{Linux: u}
}

// ListContainers implements container.Runtime.
func (r *Runtime) ListContainers(ctx context.Context, filter *cri.ContainerFilter) ([]*cri.Container, error) {
	list, err := r.Engine.ListContainers(ctx, filter)
	for _, c := range list {
		if image := c.Annotations[imageMark]; image != "" {
			c.ImageRef, c.ImageId, c.Annotations = image, image, unmarked(c.Annotations)
		}
	}
	return list, err
}
