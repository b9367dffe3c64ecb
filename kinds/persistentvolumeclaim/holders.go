package persistentvolumeclaim

import (
	"context"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/kubernetes"
	"k8s.io/component-helpers/storage/ephemeral"
)

// holders knows which claims pods hold, as of the last time it asked the API: what watches show may be behind, and a
// claim that goes too early loses data. It remembers one namespace, so that the many claims of one that goes, or of
// a StatefulSet, are not one list of pods each.
type holders struct {
	client kubernetes.Interface

	mu        sync.Mutex
	namespace string
	version   string // as of which
	claims    holdings
}

// holdings are claims by name.
type holdings map[string]holding

// holding is who holds a claim: any pod by name, or the pods whose ephemeral volume it may be.
type holding struct {
	byName bool
	owners []types.UID
}

// hold says whether a pod holds the claim. That none does stays true, once it is known of a deleted claim: no node
// starts a pod with it. That one does may have ended since, so it is asked again.
func (h *holders) hold(ctx context.Context, claim *corev1.PersistentVolumeClaim) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.covers(claim) && !h.claims.hold(claim) {
		return false, nil
	}
	err := h.ask(ctx, claim.Namespace)
	return h.claims.hold(claim), err
}

// covers says whether what is known is younger than the claim.
func (h *holders) covers(claim *corev1.PersistentVolumeClaim) bool {
	if h.claims == nil || h.namespace != claim.Namespace {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(h.version, claim.ResourceVersion)
	return err == nil && order >= 0
}

// pageSize bounds what one answer of the API holds.
const pageSize = 500

func (h *holders) ask(ctx context.Context, namespace string) error {
	h.claims = nil
	found := holdings{}
	options := metav1.ListOptions{Limit: pageSize}
	for {
		list, err := h.client.CoreV1().Pods(namespace).List(ctx, options)
		if err != nil {
			return err
		}
		for i := range list.Items {
			found.add(&list.Items[i])
		}
		if options.Continue = list.Continue; options.Continue == "" {
			h.namespace, h.version, h.claims = namespace, list.ResourceVersion, found
			return nil
		}
	}
}

// add notes what one pod holds, as holds says.
func (all holdings) add(pod *corev1.Pod) {
	if pod.Spec.NodeName == "" {
		return
	}
	for i := range pod.Spec.Volumes {
		switch v := &pod.Spec.Volumes[i]; {
		case v.PersistentVolumeClaim != nil:
			h := all[v.PersistentVolumeClaim.ClaimName]
			h.byName = true
			all[v.PersistentVolumeClaim.ClaimName] = h
		case v.Ephemeral != nil && !shutDown(pod):
			name := ephemeral.VolumeClaimName(pod, v)
			h := all[name]
			h.owners = append(h.owners, pod.UID)
			all[name] = h
		}
	}
}

func (all holdings) hold(claim *corev1.PersistentVolumeClaim) bool {
	found := all[claim.Name]
	owner := metav1.GetControllerOfNoCopy(claim)
	return found.byName || owner != nil && slices.Contains(found.owners, owner.UID)
}
