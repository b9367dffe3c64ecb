package scheduler

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"dhow/scheduler/placement"
)

// selectedNode tells a provisioner where a volume will be used (it is upstream's annotation).
const selectedNode = "volume.kubernetes.io/selected-node"

// volumes knows from where a pod's persistent volumes can be reached. A claim that waits for its first consumer is
// marked with the node that was chosen; once it is bound, the pod is scheduled again, to where the volume is.
type volumes struct {
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	classes storagelisters.StorageClassLister
}

func newVolumes(factory informers.SharedInformerFactory) volumes {
	core := factory.Core().V1()
	return volumes{core.PersistentVolumeClaims().Lister(), core.PersistentVolumes().Lister(), factory.Storage().V1().StorageClasses().Lister()}
}

// resolve notes at pod which nodes its volumes allow, or says why none does.
func (v *volumes) resolve(pod *placement.Pod, nodes int) error {
	pod.Volumes = nil
	for _, name := range claimsOf(pod.Object) {
		reach, why := v.reach(pod.Object.Namespace, name)
		if why != "" {
			return &placement.Unfit{Nodes: nodes, By: placement.Volumes, Whole: why}
		}
		if reach == nil {
			continue
		}
		selector, err := nodeaffinity.NewNodeSelector(reach)
		if err != nil {
			return fmt.Errorf("volume of claim %s: %w", name, err)
		}
		pod.Volumes = append(pod.Volumes, selector)
	}
	return nil
}

// claimsOf are the names of the claims that a pod uses, its ephemeral ones included.
func claimsOf(pod *corev1.Pod) []string {
	var names []string
	for i := range pod.Spec.Volumes {
		switch v := &pod.Spec.Volumes[i]; {
		case v.PersistentVolumeClaim != nil:
			names = append(names, v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			names = append(names, pod.Name+"-"+v.Name)
		}
	}
	return names
}

// reach is the nodes from which a claim's volume can be used (nil: all), or why there are none.
func (v *volumes) reach(namespace, name string) (*corev1.NodeSelector, string) {
	claim, err := v.claims.PersistentVolumeClaims(namespace).Get(name)
	switch {
	case err != nil:
		return nil, fmt.Sprintf("persistentvolumeclaim %q not found", name)
	case claim.DeletionTimestamp != nil:
		return nil, fmt.Sprintf("persistentvolumeclaim %q is being deleted", name)
	case claim.Status.Phase == corev1.ClaimLost:
		return nil, fmt.Sprintf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", name, claim.Spec.VolumeName)
	case claim.Spec.VolumeName == "" && !v.waits(claim):
		return nil, "pod has unbound immediate PersistentVolumeClaims"
	case claim.Spec.VolumeName == "":
		return onNode(claim.Annotations[selectedNode]), ""
	}
	volume, err := v.volumes.Get(claim.Spec.VolumeName)
	if err != nil {
		return nil, "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
	}
	if volume.Spec.NodeAffinity == nil {
		return nil, ""
	}
	return volume.Spec.NodeAffinity.Required, ""
}

// onNode selects the node that was chosen before; nil when none was.
func onNode(name string) *corev1.NodeSelector {
	if name == "" {
		return nil
	}
	return &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{name}}},
	}}}
}

// waits says whether an unbound claim waits for a pod that uses it.
func (v *volumes) waits(claim *corev1.PersistentVolumeClaim) bool {
	if claim.Spec.StorageClassName == nil {
		return false
	}
	class, err := v.classes.Get(*claim.Spec.StorageClassName)
	return err == nil && class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
}

// claim marks the pod's claims that wait with the node that was chosen; the pod waits until they are bound.
func (v *volumes) claim(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod, node string) (waits bool, err error) {
	for _, name := range claimsOf(pod) {
		claim, err := v.claims.PersistentVolumeClaims(pod.Namespace).Get(name)
		if err != nil {
			return false, err
		}
		if claim.Spec.VolumeName != "" {
			continue
		}
		waits = true
		if claim.Annotations[selectedNode] == node {
			continue
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"uid": claim.UID, "annotations": map[string]string{selectedNode: node},
		}})
		if err != nil {
			return false, err
		}
		if _, err := client.CoreV1().PersistentVolumeClaims(pod.Namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return false, fmt.Errorf("persistentvolumeclaim %q: %w", name, err)
		}
	}
	return waits, nil
}
