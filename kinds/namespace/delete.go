package namespace

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	storeerr "k8s.io/apiserver/pkg/storage/errors"
	"k8s.io/apiserver/pkg/util/dryrun"
)

// remove deletes a namespace in two steps:
//
//	Active --delete--> Terminating --emptied, spec.finalizers gone--> deleted
func remove(ctx context.Context, store *genericregistry.Store, name string, validate rest.ValidateObjectFunc,
	options *metav1.DeleteOptions) (runtime.Object, bool, error) {
	obj, err := store.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return nil, false, err
	}
	n := obj.(*corev1.Namespace)
	if options == nil {
		options = metav1.NewDeleteOptions(0)
	}
	if err := pin(options, n, store); err != nil {
		return nil, false, err
	}
	switch {
	case n.DeletionTimestamp == nil:
		terminating, err := terminate(ctx, store, name, validate, options)
		return terminating, false, err
	case len(n.Spec.Finalizers) > 0:
		return n, false, nil
	default:
		return store.Delete(ctx, name, validate, options)
	}
}

// pin makes sure that what is deleted is what was seen, and what the client means.
func pin(options *metav1.DeleteOptions, n *corev1.Namespace, store *genericregistry.Store) error {
	if options.Preconditions == nil {
		options.Preconditions = &metav1.Preconditions{}
	}
	p := options.Preconditions
	if p.UID == nil {
		p.UID = &n.UID
	}
	switch {
	case *p.UID != n.UID:
		return apierrors.NewConflict(store.DefaultQualifiedResource, n.Name,
			fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", *p.UID, n.UID))
	case p.ResourceVersion != nil && *p.ResourceVersion != n.ResourceVersion:
		return apierrors.NewConflict(store.DefaultQualifiedResource, n.Name,
			fmt.Errorf("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v", *p.ResourceVersion, n.ResourceVersion))
	}
	return nil
}

func terminate(ctx context.Context, store *genericregistry.Store, name string, validate rest.ValidateObjectFunc,
	options *metav1.DeleteOptions) (runtime.Object, error) {
	key, err := store.KeyFunc(ctx, name)
	if err != nil {
		return nil, err
	}
	preconditions := &storage.Preconditions{UID: options.Preconditions.UID, ResourceVersion: options.Preconditions.ResourceVersion}
	out := store.NewFunc()
	err = store.Storage.GuaranteedUpdate(ctx, key, out, false, preconditions, storage.SimpleUpdate(func(obj runtime.Object) (runtime.Object, error) {
		n := obj.(*corev1.Namespace)
		if err := validate(ctx, n); err != nil {
			return nil, err
		}
		if n.DeletionTimestamp == nil {
			now := metav1.Now()
			n.DeletionTimestamp = &now
		}
		n.Status.Phase = corev1.NamespaceTerminating
		setDependents(n, options)
		return n, nil
	}), dryrun.IsDryRun(options.DryRun), nil)
	if err == nil {
		return out, nil
	}
	err = storeerr.InterpretGetError(err, store.DefaultQualifiedResource, name)
	err = storeerr.InterpretUpdateError(err, store.DefaultQualifiedResource, name)
	if status := apierrors.APIStatus(nil); !errors.As(err, &status) {
		err = apierrors.NewInternalError(err)
	}
	return nil, err
}

// setDependents notes by finalizers what the client wants of objects that the namespace owns.
func setDependents(n *corev1.Namespace, options *metav1.DeleteOptions) {
	finalizers := sets.New(n.Finalizers...)
	want := func(name string, yes bool) {
		if yes {
			finalizers.Insert(name)
		} else {
			finalizers.Delete(name)
		}
	}
	switch {
	case options.OrphanDependents != nil: // deprecated, and old clients still send it
		want(metav1.FinalizerOrphanDependents, *options.OrphanDependents)
		want(metav1.FinalizerDeleteDependents, !*options.OrphanDependents)
	case options.PropagationPolicy != nil:
		want(metav1.FinalizerOrphanDependents, *options.PropagationPolicy == metav1.DeletePropagationOrphan)
		want(metav1.FinalizerDeleteDependents, *options.PropagationPolicy == metav1.DeletePropagationForeground)
	default:
		return
	}
	n.Finalizers = sets.List(finalizers)
	if len(n.Finalizers) == 0 {
		n.Finalizers = nil
	}
}
