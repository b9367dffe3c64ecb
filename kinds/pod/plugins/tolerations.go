package plugins

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/api/admit"
	"dhow/api/podspec"
)

const (
	defaultTolerations = "scheduler.alpha.kubernetes.io/defaultTolerations"
	allowedTolerations = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
)

// TolerationRestriction gives new pods the tolerations of their namespace, and lets them have no others than are
// allowed there: the plug-in PodTolerationRestriction. configuration, which may be empty, holds for namespaces that
// are not annotated.
func TolerationRestriction(f informers.SharedInformerFactory, client kubernetes.Interface, configuration []byte) (admission.Interface, error) {
	p := &tolerationRestriction{Handler: admission.NewHandler(admission.Create, admission.Update), namespaces: admit.NewNamespaces(f, client)}
	err := admit.Configure(configuration, "podtolerationrestriction.admission.k8s.io/v1alpha1", "Configuration", &p.config)
	if err != nil {
		return nil, fmt.Errorf("configuration of PodTolerationRestriction: %w", err)
	}
	return p, nil
}

type tolerationRestriction struct {
	*admission.Handler
	namespaces *admit.Namespaces
	config     struct {
		Default   []corev1.Toleration `json:"default"`
		Whitelist []corev1.Toleration `json:"whitelist"`
	}
}

var (
	_ admission.MutationInterface   = &tolerationRestriction{}
	_ admission.ValidationInterface = &tolerationRestriction{}
)

// Admit adds the tolerations that pods have by default; and that of scarce memory, for pods that have asked for some.
func (p *tolerationRestriction) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	pod, ok := admit.Object[*corev1.Pod](a, corev1.Resource("pods"))
	if !ok {
		return nil
	}
	var extra []corev1.Toleration
	if a.GetOperation() == admission.Create {
		own, set, err := p.annotated(ctx, a, defaultTolerations)
		if err != nil {
			return err
		}
		if extra = own; !set {
			extra = append(extra, p.config.Default...)
		}
	}
	if podspec.QOSClass(pod) != corev1.PodQOSBestEffort {
		extra = append(extra, corev1.Toleration{Key: corev1.TaintNodeMemoryPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule})
	}
	if len(extra) > 0 {
		pod.Spec.Tolerations = merge(append(pod.Spec.Tolerations[:len(pod.Spec.Tolerations):len(pod.Spec.Tolerations)], extra...))
	}
	return p.Validate(ctx, a, o)
}

// Validate checks that every toleration is among those that are allowed, if any are named.
func (p *tolerationRestriction) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	pod, ok := admit.Object[*corev1.Pod](a, corev1.Resource("pods"))
	if !ok || len(pod.Spec.Tolerations) == 0 {
		return nil
	}
	allowed, set, err := p.annotated(ctx, a, allowedTolerations)
	if err != nil {
		return err
	}
	scope := "namespace"
	if !set {
		allowed, scope = p.config.Whitelist, "cluster"
	}
	for _, t := range pod.Spec.Tolerations {
		if len(allowed) > 0 && !covered(t, allowed) {
			return fmt.Errorf("pod tolerations (possibly merged with namespace default tolerations) conflict with its %s whitelist", scope)
		}
	}
	return nil
}

// annotated reads tolerations from an annotation of the namespace; set says whether there is one.
func (p *tolerationRestriction) annotated(ctx context.Context, a admission.Attributes, key string) (list []corev1.Toleration, set bool, err error) {
	if !p.namespaces.Ready(ctx) {
		return nil, false, admission.NewForbidden(a, errNotReady)
	}
	ns, err := p.namespaces.Get(ctx, a.GetNamespace())
	if err != nil {
		return nil, false, err
	}
	text, set := ns.Annotations[key]
	if text == "" {
		return nil, set, nil
	}
	return list, true, json.Unmarshal([]byte(text), &list)
}

// merge leaves out what another toleration covers; of equal ones it keeps the first.
func merge(all []corev1.Toleration) []corev1.Toleration {
	var kept []corev1.Toleration
	for i, t := range all {
		if covered(t, kept) {
			continue
		}
		later := false
		for _, other := range all[i+1:] {
			later = later || !apiequality.Semantic.DeepEqual(t, other) && covers(other, t)
		}
		if !later {
			kept = append(kept, t)
		}
	}
	return kept
}

func covered(t corev1.Toleration, by []corev1.Toleration) bool {
	for _, wide := range by {
		if covers(wide, t) {
			return true
		}
	}
	return false
}

// covers says whether wide tolerates all that t does.
func covers(wide, t corev1.Toleration) bool {
	everything := wide.Key == "" && wide.Operator == corev1.TolerationOpExists
	switch {
	case apiequality.Semantic.DeepEqual(wide, t):
		return true
	case t.Key != wide.Key && !everything:
		return false
	case t.Effect != wide.Effect && wide.Effect != "":
		return false
	case wide.Effect == corev1.TaintEffectNoExecute && wide.TolerationSeconds != nil &&
		(t.TolerationSeconds == nil || *t.TolerationSeconds > *wide.TolerationSeconds):
		return false
	}
	switch wide.Operator {
	case corev1.TolerationOpExists:
		return true
	case corev1.TolerationOpEqual, "":
		return t.Operator == corev1.TolerationOpEqual && t.Value == wide.Value
	}
	return false
}
