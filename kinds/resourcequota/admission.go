package resourcequota

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
	library "k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"

	"dhow/api/admit"
)

// Admission refuses what would exceed a ResourceQuota, and charges what does not: it raises the quota's status.used
// before the object is stored, so that of two requests for the last of something one is refused. What is charged for
// an object that is not stored after all comes back when the controller counts.
//
// It must be the last plug-in: whatever refuses later has been charged for.
func Admission(f informers.SharedInformerFactory, client kubernetes.Interface) admission.Interface {
	quotas := f.Core().V1().ResourceQuotas()
	return &plugin{
		Handler: admission.NewHandler(admission.Create, admission.Update),
		lister:  quotas.Lister(), synced: quotas.Informer().HasSynced, client: client,
		namespaces: map[string]*ledger{},
	}
}

type plugin struct {
	*admission.Handler
	lister corelisters.ResourceQuotaLister
	synced func() bool
	client kubernetes.Interface

	mu         sync.Mutex
	namespaces map[string]*ledger // those that have quotas
}

var _ admission.ValidationInterface = &plugin{}

// ledger takes the charges of one namespace, one after the other.
type ledger struct {
	mu sync.Mutex
	// written are the quotas as this plug-in last wrote them, by name: the lister may not know them yet.
	written map[string]*corev1.ResourceQuota
}

func (p *plugin) ledger(namespace string) *ledger {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.namespaces[namespace]
	if l == nil {
		l = &ledger{written: map[string]*corev1.ResourceQuota{}}
		p.namespaces[namespace] = l
	}
	return l
}

// forget drops the ledger of a namespace without quotas.
func (p *plugin) forget(namespace string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.namespaces, namespace)
}

// attempts are how often a charge is tried when somebody else writes the quota at the same time.
const attempts = 5

// Validate charges. A namespace without quotas costs one look at a cache.
func (p *plugin) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	gr := a.GetResource().GroupResource()
	if a.GetNamespace() == "" || gr == corev1.Resource("namespaces") || ignored(gr) {
		return nil
	}
	if !admit.Ready(ctx, p.synced) {
		return admission.NewForbidden(a, errors.New("not yet ready to handle request"))
	}
	known, err := p.lister.ResourceQuotas(a.GetNamespace()).List(labels.Everything())
	if err != nil {
		return fmt.Errorf("error resolving quota: %w", err)
	}
	if len(known) == 0 {
		p.forget(a.GetNamespace())
		return nil
	}
	measured := evaluator(gr, time.Now, nil)
	if !measured.Handles(a) {
		return nil
	}
	l := p.ledger(a.GetNamespace())
	l.mu.Lock()
	defer l.mu.Unlock()
	charged := sets.Set[string]{}
	for range attempts {
		if err = p.charge(ctx, a, measured, l, charged); !errors.As(err, &lost{}) {
			return err
		}
	}
	return errors.Unwrap(err)
}

// lost wraps what kept a charge from being written.
type lost struct{ error }

func (l lost) Unwrap() error { return l.error }

// charge charges all quotas but those that were charged by an earlier attempt.
func (p *plugin) charge(ctx context.Context, a admission.Attributes, measured quota.Evaluator, l *ledger, charged sets.Set[string]) error {
	before, err := p.quotas(a.GetNamespace(), l)
	if err != nil {
		return err
	}
	before = slices.DeleteFunc(before, func(q corev1.ResourceQuota) bool { return charged.Has(q.Name) })
	after, err := library.CheckRequest(before, a, measured, nil)
	if err != nil || a.IsDryRun() {
		return err
	}
	for i := range after {
		if quota.Equals(before[i].Status.Used, after[i].Status.Used) {
			continue
		}
		written, err := p.client.CoreV1().ResourceQuotas(a.GetNamespace()).UpdateStatus(ctx, &after[i], metav1.UpdateOptions{})
		if err != nil {
			return lost{p.refresh(ctx, &after[i], l, err)}
		}
		l.written[written.Name] = written
		charged.Insert(written.Name)
	}
	return nil
}

// refresh learns what a quota is now, after a write that failed; it returns why that failed.
func (p *plugin) refresh(ctx context.Context, q *corev1.ResourceQuota, l *ledger, why error) error {
	now, err := p.client.CoreV1().ResourceQuotas(q.Namespace).Get(ctx, q.Name, metav1.GetOptions{})
	if err != nil {
		delete(l.written, q.Name) // gone, perhaps: the lister will know
		return why
	}
	l.written[q.Name] = now
	return why
}

// quotas are copies of the namespace's, the newest that the lister or this plug-in knows.
func (p *plugin) quotas(namespace string, l *ledger) ([]corev1.ResourceQuota, error) {
	known, err := p.lister.ResourceQuotas(namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("error resolving quota: %w", err)
	}
	slices.SortFunc(known, func(a, b *corev1.ResourceQuota) int { return strings.Compare(a.Name, b.Name) })
	all := make([]corev1.ResourceQuota, 0, len(known))
	for _, q := range known {
		if mine := l.written[q.Name]; mine != nil && mine.UID == q.UID && newer(mine, q) {
			q = mine
		} else {
			delete(l.written, q.Name)
		}
		all = append(all, *q.DeepCopy())
	}
	return all, nil
}

func newer(a, b *corev1.ResourceQuota) bool {
	return storage.APIObjectVersioner{}.CompareResourceVersion(a, b) > 0
}
