// Package owned is what controllers of objects with dependants share: whose a dependant is (adopt, release), and what
// has been made or deleted but has not come back through the watch yet.
package owned

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Claim says how dependants of one kind come to an owner and leave it.
type Claim[T metav1.Object] struct {
	Owner    metav1.Object
	Kind     schema.GroupVersionKind
	Selector labels.Selector
	// Live fetches the owner from the API, not from a cache, before anything is adopted.
	Live func(ctx context.Context) (metav1.Object, error)
	// Patch changes a dependant by a strategic merge patch.
	Patch func(ctx context.Context, name string, patch []byte) error

	checked error // what Live said, once
	asked   bool
}

// Owned are those of all that are the owner's: it adopts orphans that its selector matches, and releases what it no
// longer does. Orphans that are being deleted are left alone, as is everything when the owner is.
func (c *Claim[T]) Owned(ctx context.Context, all []T) ([]T, error) {
	var mine []T
	var failed error
	for _, o := range all {
		is, err := c.claim(ctx, o)
		failed = errors.Join(failed, err)
		if is {
			mine = append(mine, o)
		}
	}
	return mine, failed
}

func (c *Claim[T]) claim(ctx context.Context, o T) (mine bool, err error) {
	matches := c.Selector.Matches(labels.Set(o.GetLabels()))
	if ref := metav1.GetControllerOfNoCopy(o); ref != nil {
		if ref.UID != c.Owner.GetUID() {
			return false, nil
		}
		if matches {
			return true, nil
		}
		if c.Owner.GetDeletionTimestamp() != nil {
			return false, nil
		}
		return false, c.release(ctx, o)
	}
	if !matches || c.Owner.GetDeletionTimestamp() != nil || o.GetDeletionTimestamp() != nil {
		return false, nil
	}
	err = c.adopt(ctx, o)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// adopt makes the owner an orphan's, if the owner itself is still there.
func (c *Claim[T]) adopt(ctx context.Context, o T) error {
	if !c.asked {
		c.asked, c.checked = true, c.ownerLives(ctx)
	}
	if c.checked != nil {
		return c.checked
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": o.GetUID(), "ownerReferences": []metav1.OwnerReference{*metav1.NewControllerRef(c.Owner, c.Kind)},
	}})
	if err != nil {
		return err
	}
	return c.Patch(ctx, o.GetName(), patch)
}

func (c *Claim[T]) ownerLives(ctx context.Context) error {
	live, err := c.Live(ctx)
	if err != nil {
		return fmt.Errorf("look at %s %s/%s: %v", c.Kind.Kind, c.Owner.GetNamespace(), c.Owner.GetName(), err)
	}
	if live.GetUID() != c.Owner.GetUID() {
		return fmt.Errorf("%s %s/%s is another one now", c.Kind.Kind, c.Owner.GetNamespace(), c.Owner.GetName())
	}
	if live.GetDeletionTimestamp() != nil {
		return fmt.Errorf("%s %s/%s is being deleted", c.Kind.Kind, c.Owner.GetNamespace(), c.Owner.GetName())
	}
	return nil
}

func (c *Claim[T]) release(ctx context.Context, o T) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": o.GetUID(), "ownerReferences": []map[string]any{{"$patch": "delete", "uid": c.Owner.GetUID()}},
	}})
	if err != nil {
		return err
	}
	err = c.Patch(ctx, o.GetName(), patch)
	if apierrors.IsNotFound(err) || apierrors.IsInvalid(err) || apierrors.IsConflict(err) {
		return nil // it is not there any more, or is another object of that name now
	}
	return err
}

// Moved says whether a change to a dependant may concern an owner. One to an orphan does only if its labels are new, or
// if it has just become one.
func Moved(before, after metav1.Object) bool {
	return metav1.GetControllerOfNoCopy(after) != nil || metav1.GetControllerOfNoCopy(before) != nil ||
		!maps.Equal(before.GetLabels(), after.GetLabels())
}

// Key of an object.
func Key(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}
