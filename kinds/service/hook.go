package service

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/util/dryrun"
)

// hook lets the allocator take part in every write.
func (a *allocator) hook(store *genericregistry.Store) {
	a.list = func(ctx context.Context) (*corev1.ServiceList, error) { return listAll(ctx, store) }
	store.BeginCreate = func(ctx context.Context, obj runtime.Object, options *metav1.CreateOptions) (genericregistry.FinishFunc, error) {
		s := obj.(*corev1.Service)
		normalize(s, nil)
		return finish(a.allocate(ctx, s, nil, dryrun.IsDryRun(options.DryRun)))
	}
	store.BeginUpdate = func(ctx context.Context, obj, old runtime.Object, options *metav1.UpdateOptions) (genericregistry.FinishFunc, error) {
		s, before := obj.(*corev1.Service), old.(*corev1.Service)
		inherit(s, before)
		normalize(s, before)
		return finish(a.allocate(ctx, s, before, dryrun.IsDryRun(options.DryRun)))
	}
	store.AfterCreate = func(obj runtime.Object, options *metav1.CreateOptions) {
		if !dryrun.IsDryRun(options.DryRun) {
			a.settle(obj.(*corev1.Service))
		}
	}
	store.AfterUpdate = func(obj runtime.Object, options *metav1.UpdateOptions) {
		if !dryrun.IsDryRun(options.DryRun) {
			a.settle(obj.(*corev1.Service))
		}
	}
	store.AfterDelete = func(obj runtime.Object, options *metav1.DeleteOptions) {
		if !dryrun.IsDryRun(options.DryRun) {
			a.forget(obj.(*corev1.Service))
		}
	}
}

// finish undoes an allocation when the write fails.
func finish(undo func(), err error) (genericregistry.FinishFunc, error) {
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, success bool) {
		if !success {
			undo()
		}
	}, nil
}

func listAll(ctx context.Context, store *genericregistry.Store) (*corev1.ServiceList, error) {
	obj, err := store.List(request.WithNamespace(ctx, metav1.NamespaceAll), &internalversion.ListOptions{})
	if err != nil {
		return nil, err
	}
	list, ok := obj.(*corev1.ServiceList)
	if !ok {
		return nil, fmt.Errorf("services come as %T", obj)
	}
	return list, nil
}
