package aggregation

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	apiregistrationclient "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/typed/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/controllers/autoregister"

	"dhow/apiserver/groups"
)

// Local keeps an APIService for every group version that the server serves itself, so that users see them. Those whose
// label says that they are managed are ours; one that a user has made stays as it is.
type Local struct {
	client apiregistrationclient.APIServicesGetter
	groups *groups.List
	known  cache.SharedIndexInformer
	log    *slog.Logger
	queue  workqueue.TypedRateLimitingInterface[string]

	mu      sync.Mutex
	missing map[string]bool // of those that the server had at its start
}

// How the label names what is there from the start, and what comes and goes: upstream's.
const (
	fromStart = "onstart"
	always    = "true"
)

// NewLocal makes a Local that watches list; it writes nothing until Run.
func NewLocal(client apiregistrationclient.APIServicesGetter, list *groups.List, known cache.SharedIndexInformer, log *slog.Logger) (*Local, error) {
	l := &Local{
		client: client, groups: list, known: known, log: log, missing: map[string]bool{},
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
	}
	list.Each(func(from groups.Source, group string, v groups.Version) {
		if name := nameOf(group, v.Version); from == groups.BuiltIn && group != apiregistrationv1.GroupName {
			l.missing[name] = true
			l.queue.Add(name)
		}
	})
	list.OnChange(func(group, version string) { l.queue.Add(nameOf(group, version)) })
	_, err := known.AddEventHandler(onChange(func(obj any) {
		if name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
			l.queue.Add(name)
		}
	}))
	return l, err
}

func nameOf(group, version string) string { return version + "." + group }

// Unregistered names the APIServices of what the server had at its start that are not there yet.
func (l *Local) Unregistered() (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.missing {
		names = append(names, name)
	}
	return names
}

// Run writes until ctx ends; the list must know what there is at the start.
func (l *Local) Run(ctx context.Context) {
	select {
	case <-l.known.HasSyncedChecker().Done():
	case <-ctx.Done():
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer l.queue.ShutDown()
	for range checkers {
		running.Go(func() {
			for l.next(ctx) {
			}
		})
	}
	<-ctx.Done()
}

func (l *Local) next(ctx context.Context) bool {
	name, stop := l.queue.Get()
	if stop {
		return false
	}
	defer l.queue.Done(name)
	if err := l.sync(ctx, name); err != nil {
		if ctx.Err() == nil {
			l.log.Warn("apiservice of the server's own is not as it should be", "apiservice", name, "err", err)
		}
		l.queue.AddRateLimited(name)
		return true
	}
	l.queue.Forget(name)
	l.mu.Lock()
	delete(l.missing, name)
	l.mu.Unlock()
	return true
}

// sync makes one APIService as the list has it.
func (l *Local) sync(ctx context.Context, name string) error {
	want := l.wanted(name)
	obj, exists, err := l.known.GetIndexer().GetByKey(name)
	if err != nil {
		return err
	}
	services := l.client.APIServices()
	if !exists {
		if want == nil {
			return nil
		}
		if _, err := services.Create(ctx, want, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create apiservice %s: %w", name, err)
		}
		return nil
	}
	have := obj.(*apiregistrationv1.APIService)
	switch managed := have.Labels[autoregister.AutoRegisterManagedLabel]; {
	case managed != fromStart && managed != always:
		return nil
	case want == nil:
		err = services.Delete(ctx, name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(have.UID))})
	case !apiequality.Semantic.DeepEqual(have.Spec, want.Spec):
		changed := have.DeepCopy()
		changed.Spec = want.Spec
		_, err = services.Update(ctx, changed, metav1.UpdateOptions{})
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // its next event is on the way
	}
	return err
}

// wanted is the APIService that should be there, or nil.
func (l *Local) wanted(name string) *apiregistrationv1.APIService {
	gv := groupVersionNamed(name)
	if gv.Group == apiregistrationv1.GroupName {
		return nil
	}
	p, from, ok := l.groups.Own(gv)
	if !ok {
		return nil
	}
	managed := always
	if from == groups.BuiltIn {
		managed = fromStart
	}
	return &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{autoregister.AutoRegisterManagedLabel: managed}},
		Spec: apiregistrationv1.APIServiceSpec{
			Group: gv.Group, Version: gv.Version, GroupPriorityMinimum: p.Group, VersionPriority: p.Version,
		},
	}
}
