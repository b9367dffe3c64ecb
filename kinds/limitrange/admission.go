// Package limitrange is all that the server knows of LimitRanges: defaults, validation, and admission, which gives
// containers the resources that a namespace's LimitRanges say, and refuses pods and claims that are beyond their bounds.
package limitrange

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"

	"dhow/api/admit"
)

// Admission applies LimitRanges to pods and claims.
func Admission(f informers.SharedInformerFactory, client kubernetes.Interface) admission.Interface {
	ranges := f.Core().V1().LimitRanges()
	ranges.Informer()
	return &plugin{
		Handler: admission.NewHandler(admission.Create, admission.Update),
		lister:  ranges.Lister(), client: client, none: utilcache.NewLRUExpireCache(10000),
	}
}

type plugin struct {
	*admission.Handler
	lister corelisters.LimitRangeLister
	client kubernetes.Interface
	// none are namespaces in which storage, too, held no range a while ago.
	none *utilcache.LRUExpireCache
}

const noneFor = 30 * time.Second

var (
	_ admission.MutationInterface   = &plugin{}
	_ admission.ValidationInterface = &plugin{}
)

// Admit sets what containers leave open.
func (p *plugin) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	pod, isPod := a.GetObject().(*corev1.Pod)
	if !isPod || !applies(a) {
		return nil
	}
	ranges, err := p.ranges(ctx, a)
	for _, r := range ranges {
		fill(pod, r)
	}
	return err
}

// Validate refuses what is beyond bounds.
func (p *plugin) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if !applies(a) {
		return nil
	}
	ranges, err := p.ranges(ctx, a)
	if err != nil {
		return err
	}
	for _, r := range ranges {
		if err := violations(r, a.GetObject()); err != nil {
			return admission.NewForbidden(a, err)
		}
	}
	return nil
}

func violations(r *corev1.LimitRange, obj runtime.Object) error {
	switch obj := obj.(type) {
	case *corev1.Pod:
		return checkPod(r, &obj.Spec)
	case *corev1.PersistentVolumeClaim:
		return checkClaim(r, obj)
	}
	return nil
}

// applies: resources of pods are fixed at their creation, unless they are resized. What goes away is let go.
func applies(a admission.Attributes) bool {
	pods := corev1.Resource("pods")
	update := a.GetOperation() == admission.Update
	switch {
	case admit.On(a, pods, "resize"):
		if !update {
			return false
		}
	case admit.On(a, pods):
		if update {
			return false
		}
	case !admit.On(a, corev1.Resource("persistentvolumeclaims")):
		return false
	}
	if old := a.GetOldObject(); old != nil {
		m, err := meta.Accessor(old)
		return err == nil && m.GetDeletionTimestamp() == nil
	}
	return true
}

// ranges are the namespace's, asked of storage where the cache has none: one may just have been made.
func (p *plugin) ranges(ctx context.Context, a admission.Attributes) ([]*corev1.LimitRange, error) {
	namespace := a.GetNamespace()
	known, err := p.lister.LimitRanges(namespace).List(labels.Everything())
	if err != nil {
		return nil, admission.NewForbidden(a, fmt.Errorf("unable to %s %v at this time because there was an error enforcing limit ranges", a.GetOperation(), a.GetResource()))
	}
	if len(known) > 0 {
		slices.SortFunc(known, func(a, b *corev1.LimitRange) int { return strings.Compare(a.Name, b.Name) })
		return known, nil
	}
	if _, none := p.none.Get(namespace); none {
		return nil, nil
	}
	list, err := p.client.CoreV1().LimitRanges(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, admission.NewForbidden(a, err)
	}
	for i := range list.Items {
		known = append(known, &list.Items[i])
	}
	if len(known) == 0 {
		p.none.Add(namespace, true, noneFor)
	}
	return known, nil
}
