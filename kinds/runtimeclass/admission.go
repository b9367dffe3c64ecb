// Package runtimeclass is all that the server knows of RuntimeClasses: validation, what kubectl prints, and admission,
// which gives pods what their class says: overhead, and the nodes that have the runtime.
package runtimeclass

import (
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	nodelisters "k8s.io/client-go/listers/node/v1"

	"dhow/api/admit"
)

// Admission applies RuntimeClasses to new pods and refuses those that name one that is not there.
func Admission(f informers.SharedInformerFactory, client kubernetes.Interface) admission.Interface {
	classes := f.Node().V1().RuntimeClasses()
	classes.Informer()
	return &plugin{admission.NewHandler(admission.Create), classes.Lister(), client}
}

type plugin struct {
	*admission.Handler
	lister nodelisters.RuntimeClassLister
	client kubernetes.Interface
}

var (
	_ admission.MutationInterface   = &plugin{}
	_ admission.ValidationInterface = &plugin{}
)

var errOverhead = errors.New("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")

// Admit sets overhead, node selector and tolerations.
func (p *plugin) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	pod, ok := admit.Object[*corev1.Pod](a, corev1.Resource("pods"))
	if !ok || pod.Spec.RuntimeClassName == nil {
		return nil
	}
	class, err := p.class(ctx, a, *pod.Spec.RuntimeClassName)
	if err != nil {
		return err
	}
	if o := class.Overhead; o != nil {
		if len(pod.Spec.Overhead) > 0 && !apiequality.Semantic.DeepEqual(o.PodFixed, pod.Spec.Overhead) {
			return admission.NewForbidden(a, errOverhead)
		}
		pod.Spec.Overhead = o.PodFixed.DeepCopy()
	}
	if class.Scheduling == nil {
		return nil
	}
	if err := place(&pod.Spec, class.Scheduling); err != nil {
		return admission.NewForbidden(a, err)
	}
	return nil
}

// Validate refuses overhead that is not the class's.
func (p *plugin) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	pod, ok := admit.Object[*corev1.Pod](a, corev1.Resource("pods"))
	if !ok {
		return nil
	}
	class := &nodev1.RuntimeClass{}
	if pod.Spec.RuntimeClassName != nil {
		var err error
		if class, err = p.class(ctx, a, *pod.Spec.RuntimeClassName); err != nil {
			return err
		}
	}
	switch {
	case class.Overhead != nil && !apiequality.Semantic.DeepEqual(class.Overhead.PodFixed, pod.Spec.Overhead):
		return admission.NewForbidden(a, errOverhead)
	case class.Overhead == nil && pod.Spec.Overhead != nil:
		return admission.NewForbidden(a, errors.New("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"))
	}
	return nil
}

func (p *plugin) class(ctx context.Context, a admission.Attributes, name string) (*nodev1.RuntimeClass, error) {
	class, err := p.lister.Get(name)
	if apierrors.IsNotFound(err) { // perhaps younger than what the cache has seen
		class, err = p.client.NodeV1().RuntimeClasses().Get(ctx, name, metav1.GetOptions{})
	}
	if apierrors.IsNotFound(err) {
		return nil, admission.NewForbidden(a, fmt.Errorf("pod rejected: RuntimeClass %q not found", name))
	}
	return class, err
}

// place sends a pod to the nodes that have its runtime.
func place(spec *corev1.PodSpec, s *nodev1.Scheduling) error {
	selector := maps.Clone(spec.NodeSelector)
	for key, value := range s.NodeSelector {
		if own, has := selector[key]; has && own != value {
			return fmt.Errorf("conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; pod.spec.nodeSelector[%s] = %s", key, value, key, own)
		}
		if selector == nil {
			selector = map[string]string{}
		}
		selector[key] = value
	}
	spec.NodeSelector = selector
	spec.Tolerations = merge(spec.Tolerations, s.Tolerations)
	return nil
}

// merge leaves out tolerations that another one takes in; of equal ones it keeps the first.
func merge(pods, classes []corev1.Toleration) []corev1.Toleration {
	all := make([]corev1.Toleration, 0, len(pods)+len(classes))
	for _, list := range [][]corev1.Toleration{pods, classes} {
		for _, t := range list {
			all = append(all, *t.DeepCopy())
		}
	}
	var merged []corev1.Toleration
	for i := range all {
		redundant := false
		for j := range all {
			equal := apiequality.Semantic.DeepEqual(all[i], all[j])
			if i != j && (equal && j < i || !equal && takesIn(&all[j], &all[i])) {
				redundant = true
			}
		}
		if !redundant {
			merged = append(merged, all[i])
		}
	}
	return merged
}

// takesIn says whether wide tolerates all that t does.
func takesIn(wide, t *corev1.Toleration) bool {
	everyKey := wide.Key == "" && wide.Operator == corev1.TolerationOpExists
	if t.Key != wide.Key && !everyKey || t.Effect != wide.Effect && wide.Effect != "" {
		return false
	}
	if wide.Effect == corev1.TaintEffectNoExecute && wide.TolerationSeconds != nil &&
		(t.TolerationSeconds == nil || *t.TolerationSeconds > *wide.TolerationSeconds) {
		return false
	}
	switch wide.Operator {
	case corev1.TolerationOpEqual, "":
		return t.Operator == corev1.TolerationOpEqual && t.Value == wide.Value
	case corev1.TolerationOpExists:
		return true
	}
	return false
}
