package priorityclass

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	schedulinglisters "k8s.io/client-go/listers/scheduling/v1"

	"dhow/api/admit"
)

// Admission gives new pods the priority of the class they name, or of the default one; and lets no second class be
// the default.
func Admission(f informers.SharedInformerFactory, client kubernetes.Interface) admission.Interface {
	classes := f.Scheduling().V1().PriorityClasses()
	return &plugin{
		Handler: admission.NewHandler(admission.Create, admission.Update),
		lister:  classes.Lister(), synced: classes.Informer().HasSynced, client: client,
	}
}

type plugin struct {
	*admission.Handler
	lister schedulinglisters.PriorityClassLister
	synced func() bool
	client kubernetes.Interface
}

var (
	_ admission.MutationInterface   = &plugin{}
	_ admission.ValidationInterface = &plugin{}
)

// Admit sets the priority of a new pod, and keeps that of a changed one whose client does not know the field.
func (p *plugin) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	pod, ok := admit.Object[*corev1.Pod](a, corev1.Resource("pods"))
	if !ok {
		return nil
	}
	if a.GetOperation() == admission.Create {
		return p.prioritize(ctx, a, pod)
	}
	if old, ok := a.GetOldObject().(*corev1.Pod); ok {
		if pod.Spec.Priority == nil {
			pod.Spec.Priority = old.Spec.Priority
		}
		if pod.Spec.PreemptionPolicy == nil {
			pod.Spec.PreemptionPolicy = old.Spec.PreemptionPolicy
		}
	}
	return nil
}

func (p *plugin) prioritize(ctx context.Context, a admission.Attributes, pod *corev1.Pod) error {
	class, err := p.class(ctx, a, pod.Spec.PriorityClassName)
	if err != nil {
		return err
	}
	spec := &pod.Spec
	spec.PriorityClassName = class.Name
	if spec.Priority != nil && *spec.Priority != class.Value {
		return admission.NewForbidden(a, fmt.Errorf("the integer value of priority (%d) must not be provided in pod spec; "+
			"priority admission controller computed %d from the given PriorityClass name", *spec.Priority, class.Value))
	}
	value := class.Value
	spec.Priority = &value
	if class.PreemptionPolicy == nil {
		return nil
	}
	if spec.PreemptionPolicy != nil && *spec.PreemptionPolicy != *class.PreemptionPolicy {
		return admission.NewForbidden(a, fmt.Errorf("the string value of PreemptionPolicy (%s) must not be provided in pod spec; "+
			"priority admission controller computed %s from the given PriorityClass name", *spec.PreemptionPolicy, *class.PreemptionPolicy))
	}
	policy := *class.PreemptionPolicy
	spec.PreemptionPolicy = &policy
	return nil
}

// class is the one with a name, or the default one: of priority 0 where the cluster has none.
func (p *plugin) class(ctx context.Context, a admission.Attributes, name string) (*schedulingv1.PriorityClass, error) {
	if !admit.Ready(ctx, p.synced) {
		return nil, admission.NewForbidden(a, fmt.Errorf("not yet ready to handle request"))
	}
	if name == "" {
		found, err := p.standard()
		if err != nil {
			return nil, fmt.Errorf("error occurred while retrieving default priority class: %w", err)
		}
		if found == nil {
			found = &schedulingv1.PriorityClass{}
			Default(found)
		}
		return found, nil
	}
	class, err := p.lister.Get(name)
	if apierrors.IsNotFound(err) { // perhaps younger than what the cache has seen
		class, err = p.client.SchedulingV1().PriorityClasses().Get(ctx, name, metav1.GetOptions{})
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, admission.NewForbidden(a, fmt.Errorf("no PriorityClass with name %v was found", name))
	case err != nil:
		return nil, fmt.Errorf("failed to resolve PriorityClass with name %s: %w", name, err)
	}
	return class, nil
}

// standard is the class for pods that name none; the lowest, should two have become the default at once.
func (p *plugin) standard() (*schedulingv1.PriorityClass, error) {
	all, err := p.lister.List(labels.Everything())
	var lowest *schedulingv1.PriorityClass
	for _, c := range all {
		if c.GlobalDefault && (lowest == nil || c.Value < lowest.Value) {
			lowest = c
		}
	}
	return lowest, err
}

// Validate refuses a second default class.
func (p *plugin) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	class, ok := admit.Object[*schedulingv1.PriorityClass](a, schedulingv1.Resource("priorityclasses"))
	if !ok || !class.GlobalDefault {
		return nil
	}
	if !admit.Ready(ctx, p.synced) {
		return admission.NewForbidden(a, fmt.Errorf("not yet ready to handle request"))
	}
	other, err := p.standard()
	switch {
	case err != nil:
		return fmt.Errorf("failed to get default priority class: %w", err)
	case other != nil && (a.GetOperation() == admission.Create || other.Name != class.Name):
		return admission.NewForbidden(a, fmt.Errorf("PriorityClass %v is already marked as default. Only one default can exist", other.Name))
	}
	return nil
}
