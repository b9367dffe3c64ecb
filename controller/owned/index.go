package owned

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// byController is the name of the index.
const byController = "controller"

// Dependants finds the objects of one kind by the UID of their controller, without a look at any other.
type Dependants[T metav1.Object] struct {
	indexer cache.Indexer
	broken  error
}

// NewDependants adds the index to an informer, unless another controller has done so. Why it could not is told by the
// first look-up.
func NewDependants[T metav1.Object](informer cache.SharedIndexInformer) *Dependants[T] {
	d := &Dependants[T]{indexer: informer.GetIndexer()}
	if _, has := d.indexer.GetIndexers()[byController]; !has {
		d.broken = informer.AddIndexers(cache.Indexers{byController: controllerOf})
	}
	return d
}

func controllerOf(obj any) ([]string, error) {
	o, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	if ref := metav1.GetControllerOfNoCopy(o); ref != nil {
		return []string{string(ref.UID)}, nil
	}
	return []string{orphans(o.GetNamespace())}, nil
}

// orphans is the index's value for those without a controller. No UID has a slash.
func orphans(namespace string) string { return "orphans/" + namespace }

// Of are those that uid controls. They are shared and read-only.
func (d *Dependants[T]) Of(uid types.UID) ([]T, error) { return d.at(string(uid)) }

// Claimable are those that owner controls, and those of its namespace that nobody does.
func (d *Dependants[T]) Claimable(owner metav1.Object) ([]T, error) {
	own, err := d.Of(owner.GetUID())
	if err != nil {
		return nil, err
	}
	free, err := d.at(orphans(owner.GetNamespace()))
	return append(own, free...), err
}

func (d *Dependants[T]) at(value string) ([]T, error) {
	if d.broken != nil {
		return nil, d.broken
	}
	found, err := d.indexer.ByIndex(byController, value)
	if err != nil {
		return nil, err
	}
	all := make([]T, 0, len(found))
	for _, o := range found {
		t, ok := o.(T)
		if !ok {
			return nil, fmt.Errorf("an informer of another kind: it holds %T", o)
		}
		all = append(all, t)
	}
	return all, nil
}
