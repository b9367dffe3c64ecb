package garbage

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
)

// live reads and changes objects in the API, whatever the graph thinks of them.
type live struct{ client metadata.Interface }

func (l live) at(k *kind, namespace string) metadata.ResourceInterface {
	if !k.namespaced {
		namespace = ""
	}
	return l.client.Resource(k.resource).Namespace(namespace)
}

// get is nil if there is no such object any more, or another one of its name.
func (l live) get(ctx context.Context, k *kind, namespace, name string, uid types.UID) (*metav1.PartialObjectMetadata, error) {
	o, err := l.at(k, namespace).Get(ctx, name, metav1.GetOptions{})
	if isGone(err) || err == nil && o.UID != uid {
		return nil, nil
	}
	return o, err
}

// isGone: the server knows the kind, and that the object is not there. That a path is not served says nothing.
func isGone(err error) bool {
	return apierrors.IsNotFound(err) && !apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// remove deletes an object as it was read. If it has changed since, its owners must still be the same.
func (l live) remove(ctx context.Context, k *kind, o *metav1.PartialObjectMetadata, policy metav1.DeletionPropagation) error {
	client := l.at(k, o.Namespace)
	options := metav1.DeleteOptions{PropagationPolicy: &policy, Preconditions: &metav1.Preconditions{UID: &o.UID, ResourceVersion: &o.ResourceVersion}}
	err := client.Delete(ctx, o.Name, options)
	if apierrors.IsConflict(err) {
		now, failed := l.get(ctx, k, o.Namespace, o.Name, o.UID)
		if failed != nil || now == nil {
			return failed
		}
		if reflect.DeepEqual(now.OwnerReferences, o.OwnerReferences) {
			options.Preconditions.ResourceVersion = nil
			err = client.Delete(ctx, o.Name, options)
		}
	}
	if isGone(err) {
		return nil
	}
	return err
}

// setOwners replaces the references of an object as it was read.
func (l live) setOwners(ctx context.Context, k *kind, o *metav1.PartialObjectMetadata, owners []metav1.OwnerReference) error {
	return l.patch(ctx, k, o, "ownerReferences", owners)
}

// takeFinalizer drops one finalizer of an object.
func (l live) takeFinalizer(ctx context.Context, o *object, finalizer string) error {
	now, err := l.get(ctx, o.kind, o.namespace, o.name, o.uid)
	if err != nil || now == nil || !slices.Contains(now.Finalizers, finalizer) {
		return err
	}
	rest := slices.DeleteFunc(now.Finalizers, func(f string) bool { return f == finalizer })
	return l.patch(ctx, o.kind, now, "finalizers", rest)
}

// patch replaces a field of the metadata, if the object is still the version that was read.
func (l live) patch(ctx context.Context, k *kind, o *metav1.PartialObjectMetadata, field string, value any) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": o.UID, "resourceVersion": o.ResourceVersion, field: value}})
	if err != nil {
		return err
	}
	_, err = l.at(k, o.Namespace).Patch(ctx, o.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if isGone(err) {
		return nil
	}
	return err
}

// absentees are owners that the API has said are not there. A UID never comes back.
type absentees struct {
	mu    sync.Mutex
	known map[absentee]struct{}
}

type absentee struct {
	apiVersion, kind, namespace, name string
	uid                               types.UID
}

// mostAbsent bounds the memory: what is forgotten is asked for again.
const mostAbsent = 1000

func (a *absentees) has(one absentee) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, is := a.known[one]
	return is
}

func (a *absentees) add(one absentee) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil || len(a.known) >= mostAbsent {
		a.known = map[absentee]struct{}{}
	}
	a.known[one] = struct{}{}
}
