package plugins

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"dhow/api/admit"
)

// errNotReady is what requests hear before the caches are filled.
var errNotReady = errors.New("not yet ready to handle request")

const (
	selectorAnnotation   = "scheduler.alpha.kubernetes.io/node-selector"
	clusterSelectorEntry = "clusterDefaultNodeSelector"
)

// NodeSelector gives new pods the node selector of their namespace, and lets them have no other than the
// configuration allows there: the plug-in PodNodeSelector. configuration may be empty.
func NodeSelector(f informers.SharedInformerFactory, client kubernetes.Interface, configuration []byte) (admission.Interface, error) {
	var config struct {
		Selectors map[string]string `json:"podNodeSelectorPluginConfig"`
	}
	if err := yaml.UnmarshalStrict(configuration, &config); err != nil {
		return nil, fmt.Errorf("configuration of PodNodeSelector: %w", err)
	}
	p := &nodeSelector{admission.NewHandler(admission.Create), admit.NewNamespaces(f, client), map[string]labels.Set{}}
	for name, text := range config.Selectors {
		set, err := labels.ConvertSelectorToLabelsMap(text)
		if err != nil {
			return nil, fmt.Errorf("configuration of PodNodeSelector: %s: %w", name, err)
		}
		p.selectors[name] = set
	}
	return p, nil
}

type nodeSelector struct {
	*admission.Handler
	namespaces *admit.Namespaces
	selectors  map[string]labels.Set // what is allowed, by namespace; and the cluster's own selector
}

var (
	_ admission.MutationInterface   = &nodeSelector{}
	_ admission.ValidationInterface = &nodeSelector{}
)

// Admit merges the namespace's selector into the pod's.
func (p *nodeSelector) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	return p.check(ctx, a, func(pod *corev1.Pod, own labels.Set) {
		pod.Spec.NodeSelector = labels.Merge(own, pod.Spec.NodeSelector)
	})
}

// Validate checks the pod's selector against its namespace's and what is allowed there.
func (p *nodeSelector) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	return p.check(ctx, a, func(*corev1.Pod, labels.Set) {})
}

// check calls merge when the pod's selector fits its namespace's, and then sees whether the outcome is allowed.
func (p *nodeSelector) check(ctx context.Context, a admission.Attributes, merge func(*corev1.Pod, labels.Set)) error {
	pod, ok := admit.Object[*corev1.Pod](a, corev1.Resource("pods"))
	if !ok {
		return nil
	}
	own, err := p.namespaceSelector(ctx, a)
	if err != nil {
		return err
	}
	if labels.Conflicts(own, pod.Spec.NodeSelector) {
		return conflict(a, pod, "pod node label selector conflicts with its namespace node label selector")
	}
	merge(pod, own)
	allowed := p.selectors[a.GetNamespace()]
	for key, value := range pod.Spec.NodeSelector {
		if have, ok := allowed[key]; len(allowed) > 0 && (!ok || have != value) {
			return conflict(a, pod, "pod node label selector labels conflict with its namespace whitelist")
		}
	}
	return nil
}

func conflict(a admission.Attributes, pod *corev1.Pod, why string) error {
	return apierrors.NewForbidden(a.GetResource().GroupResource(), pod.Name, errors.New(why))
}

// namespaceSelector is what the namespace is annotated with, else the cluster's.
func (p *nodeSelector) namespaceSelector(ctx context.Context, a admission.Attributes) (labels.Set, error) {
	if !p.namespaces.Ready(ctx) {
		return nil, admission.NewForbidden(a, errNotReady)
	}
	ns, err := p.namespaces.Get(ctx, a.GetNamespace())
	if err != nil {
		return nil, err
	}
	if text, ok := ns.Annotations[selectorAnnotation]; ok {
		return labels.ConvertSelectorToLabelsMap(text)
	}
	return p.selectors[clusterSelectorEntry], nil
}
