package node

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// features are what the runtime said last that it can.
type features struct {
	mu   sync.Mutex
	said *cri.StatusResponse
}

func (f *features) learn(said *cri.StatusResponse) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = said
}

// strictGroups: it can leave the image's groups out.
func (f *features) strictGroups() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.said.GetFeatures().GetSupplementalGroupsPolicy()
}

// of a handler; older runtimes tell of none.
func (f *features) of(handler string) *cri.RuntimeHandlerFeatures {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.said.GetRuntimeHandlers() {
		if h.Name == handler {
			return h.Features
		}
	}
	return nil
}

// status is for the node's.
func (f *features) status(s *corev1.NodeStatus) {
	f.mu.Lock()
	said := f.said
	f.mu.Unlock()
	s.RuntimeHandlers = nil
	for _, h := range said.GetRuntimeHandlers() {
		mounts, users := h.GetFeatures().GetRecursiveReadOnlyMounts(), h.GetFeatures().GetUserNamespaces()
		s.RuntimeHandlers = append(s.RuntimeHandlers, corev1.NodeRuntimeHandler{
			Name: h.Name, Features: &corev1.NodeRuntimeHandlerFeatures{RecursiveReadOnlyMounts: &mounts, UserNamespaces: &users},
		})
	}
	slices.SortFunc(s.RuntimeHandlers, func(a, b corev1.NodeRuntimeHandler) int { return strings.Compare(a.Name, b.Name) })
	policy := said.GetFeatures().GetSupplementalGroupsPolicy()
	s.Features = &corev1.NodeFeatures{SupplementalGroupsPolicy: &policy}
}

// refused is why the runtime cannot run a pod, nil if it can.
func (f *features) refused(pod *corev1.Pod) *podFailure {
	s := pod.Spec.SecurityContext
	if s == nil || s.SupplementalGroupsPolicy == nil || *s.SupplementalGroupsPolicy != corev1.SupplementalGroupsPolicyStrict || f.strictGroups() {
		return nil
	}
	return &podFailure{"SupplementalGroupsPolicyNotSupported", "Pod was rejected: SupplementalGroupsPolicy=Strict is not supported in this node"}
}

// checkUsers fails for a pod with users of its own where the handler cannot give it any.
func (f *features) checkUsers(pod *corev1.Pod, handler string) error {
	switch {
	case pod.Spec.HostUsers == nil || *pod.Spec.HostUsers || f.of(handler).GetUserNamespaces():
		return nil
	case handler == "":
		return fmt.Errorf("can't set `spec.hostUsers: false`, runtime does not support user namespaces")
	}
	return fmt.Errorf("can't set `spec.hostUsers: false`, RuntimeClass handler %q does not support user namespaces", handler)
}

// readOnlyBelow says whether what is mounted below a volume is to be read-only, too.
func (f *features) readOnlyBelow(m *corev1.VolumeMount, handler string) (bool, error) {
	if m.RecursiveReadOnly == nil || *m.RecursiveReadOnly == corev1.RecursiveReadOnlyDisabled {
		return false, nil
	}
	can := f.of(handler).GetRecursiveReadOnlyMounts()
	if !can && *m.RecursiveReadOnly == corev1.RecursiveReadOnlyEnabled {
		return false, configError{fmt.Errorf("volume %q requested recursive read-only mode, but it is not supported by the runtime", m.Name)}
	}
	return can, nil
}
