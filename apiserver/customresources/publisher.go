package customresources

import (
	"context"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// byGroup is an index of definitions.
const byGroup = "group"

// publisher tells set of every group whose definitions have changed.
type publisher struct {
	informer cache.SharedIndexInformer
	events   cache.ResourceEventHandlerRegistration
	queue    workqueue.TypedInterface[string]
	set      func(group string, of []*apiextensionsv1.CustomResourceDefinition)
	told     chan struct{} // closed when all definitions that were there at the start have been told of
}

func newPublisher(informer cache.SharedIndexInformer, set func(string, []*apiextensionsv1.CustomResourceDefinition)) (*publisher, error) {
	err := informer.AddIndexers(cache.Indexers{byGroup: func(obj any) ([]string, error) {
		return []string{obj.(*apiextensionsv1.CustomResourceDefinition).Spec.Group}, nil
	}})
	if err != nil {
		return nil, err
	}
	p := &publisher{informer: informer, set: set, queue: workqueue.NewTyped[string](), told: make(chan struct{})}
	p.events, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: p.add, UpdateFunc: func(_, obj any) { p.add(obj) }, DeleteFunc: p.add, // a definition's group never changes
	})
	return p, err
}

func (p *publisher) add(obj any) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	if d, ok := obj.(*apiextensionsv1.CustomResourceDefinition); ok {
		p.queue.Add(d.Spec.Group)
	}
}

func (p *publisher) run(ctx context.Context) {
	defer p.queue.ShutDown()
	select {
	case <-p.events.HasSyncedChecker().Done():
	case <-ctx.Done():
		return
	}
	for _, group := range p.informer.GetIndexer().ListIndexFuncValues(byGroup) {
		p.tell(group)
	}
	close(p.told)
	go func() {
		<-ctx.Done()
		p.queue.ShutDown()
	}()
	for {
		group, stop := p.queue.Get()
		if stop {
			return
		}
		p.tell(group)
		p.queue.Done(group)
	}
}

func (p *publisher) tell(group string) {
	found, err := p.informer.GetIndexer().ByIndex(byGroup, group)
	if err != nil {
		panic(err) // the index is there
	}
	all := make([]*apiextensionsv1.CustomResourceDefinition, len(found))
	for i := range found {
		all[i] = found[i].(*apiextensionsv1.CustomResourceDefinition)
	}
	p.set(group, all)
}
