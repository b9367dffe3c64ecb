package plugins

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/component-helpers/resource"

	"dhow/api/admit"
)

// nodeReader is a plug-in that looks at the node of a pod.
type nodeReader struct {
	*admission.Handler
	nodes  corelisters.NodeLister
	synced func() bool
}

func newNodeReader(f informers.SharedInformerFactory, operation admission.Operation) nodeReader {
	nodes := f.Core().V1().Nodes()
	return nodeReader{admission.NewHandler(operation), nodes.Lister(), nodes.Informer().HasSynced}
}

// TopologyLabels gives pods the labels of their node's zone and region: the plug-in PodTopologyLabels.
func TopologyLabels(f informers.SharedInformerFactory) admission.Interface {
	return &topologyLabels{newNodeReader(f, admission.Create)}
}

type topologyLabels struct{ nodeReader }

var _ admission.MutationInterface = &topologyLabels{}

// Admit labels a pod that comes with its node, or the binding that gives it one.
func (p *topologyLabels) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	var obj metav1.Object
	var node string
	if pod, ok := admit.Object[*corev1.Pod](a, corev1.Resource("pods")); ok {
		obj, node = pod, pod.Spec.NodeName
	} else if b, ok := admit.Object[*corev1.Binding](a, corev1.Resource("pods"), "binding"); ok && b.Target.Kind == "Node" {
		obj, node = b, b.Target.Name
	}
	if node == "" {
		return nil
	}
	if !admit.Ready(ctx, p.synced) {
		return admission.NewForbidden(a, errNotReady)
	}
	n, err := p.nodes.Get(node)
	if err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	label(obj, n.Labels)
	return nil
}

func label(obj metav1.Object, from map[string]string) {
	copied := map[string]string{}
	for _, key := range []string{corev1.LabelTopologyZone, corev1.LabelTopologyRegion} {
		if value, ok := from[key]; ok {
			copied[key] = value
		}
	}
	if len(copied) == 0 {
		return
	}
	all := maps.Clone(obj.GetLabels())
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, copied)
	obj.SetLabels(all)
}

// ResizeWithinNode refuses to resize pods beyond what their node has: the plug-in PodResizeValidator.
func ResizeWithinNode(f informers.SharedInformerFactory) admission.Interface {
	return &resizeWithinNode{newNodeReader(f, admission.Update)}
}

type resizeWithinNode struct{ nodeReader }

var _ admission.ValidationInterface = &resizeWithinNode{}

// Validate implements admission.ValidationInterface.
func (p *resizeWithinNode) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	pod, ok := admit.Object[*corev1.Pod](a, corev1.Resource("pods"), "resize")
	old, was := a.GetOldObject().(*corev1.Pod)
	if !ok || !was || pod.Spec.NodeName == "" || old.Generation == pod.Generation {
		return nil
	}
	if !admit.Ready(ctx, p.synced) {
		return admission.NewForbidden(a, errNotReady)
	}
	node, err := p.nodes.Get(pod.Spec.NodeName)
	if apierrors.IsNotFound(err) {
		return admission.NewForbidden(a, fmt.Errorf("node %q not found", pod.Spec.NodeName))
	}
	if err != nil {
		return admission.NewForbidden(a, fmt.Errorf("failed to get node %q: %w", pod.Spec.NodeName, err))
	}
	if os, ok := node.Labels[corev1.LabelOSStable]; ok && os != string(corev1.Linux) {
		return withCause(a, fmt.Errorf("pod resize is only supported on linux nodes, node %q is %q", node.Name, os), "UnsupportedPlatform")
	}
	if over := beyond(pod, node.Status.Allocatable); len(over) > 0 {
		return withCause(a, fmt.Errorf("node didn't have enough allocatable resources: %s", strings.Join(over, "; ")), "NodeCapacity")
	}
	return nil
}

// beyond lists the requests of a pod that are more than a whole node has.
func beyond(pod *corev1.Pod, has corev1.ResourceList) []string {
	wants := resource.PodRequests(pod, resource.PodResourcesOptions{})
	var over []string
	if wants.Cpu().Cmp(*has.Cpu()) > 0 {
		over = append(over, fmt.Sprintf("cpu, requested: %d, allocatable: %d", wants.Cpu().MilliValue(), has.Cpu().MilliValue()))
	}
	if wants.Memory().Cmp(*has.Memory()) > 0 {
		over = append(over, fmt.Sprintf("memory, requested: %d, allocatable: %d", wants.Memory().Value(), has.Memory().Value()))
	}
	return over
}

func withCause(a admission.Attributes, err error, cause metav1.CauseType) error {
	refused := admission.NewForbidden(a, err)
	var status *apierrors.StatusError
	if errors.As(refused, &status) {
		status.ErrStatus.Details.Causes = append(status.ErrStatus.Details.Causes, metav1.StatusCause{Type: cause})
	}
	return refused
}
