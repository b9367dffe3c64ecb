package garbage

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// verdict is what the API says of an owner that a reference names.
type verdict int

const (
	present verdict = iota
	absent
	goingForeground // it goes as soon as its dependants have gone
)

// action is what to do with a dependant.
type action struct {
	// strip are references to drop; the object stays because of others.
	strip []metav1.OwnerReference
	// remove by policy.
	remove bool
	policy metav1.DeletionPropagation
	// unblock first makes its references non-blocking: its owners and its dependants might wait for one another.
	unblock bool
}

// plan says what becomes of an object whose owners were asked for. finalizers are the object's own.
func plan(owners []metav1.OwnerReference, verdicts []verdict, dependants []*object, finalizers []string) action {
	switch {
	case len(owners) == 0:
		return action{}
	case slices.Contains(verdicts, present):
		var strip []metav1.OwnerReference
		for i, ref := range owners {
			if verdicts[i] != present {
				strip = append(strip, ref)
			}
		}
		return action{strip: strip}
	case slices.Contains(verdicts, goingForeground) && len(dependants) > 0:
		return action{remove: true, policy: metav1.DeletePropagationForeground, unblock: slices.ContainsFunc(dependants, func(d *object) bool { return d.state == foreground })}
	case slices.Contains(finalizers, metav1.FinalizerOrphanDependents):
		return action{remove: true, policy: metav1.DeletePropagationOrphan}
	case slices.Contains(finalizers, metav1.FinalizerDeleteDependents):
		return action{remove: true, policy: metav1.DeletePropagationForeground}
	default:
		return action{remove: true, policy: metav1.DeletePropagationBackground}
	}
}

// without are the references but those to drop.
func without(owners, drop []metav1.OwnerReference) []metav1.OwnerReference {
	return slices.DeleteFunc(slices.Clone(owners), func(ref metav1.OwnerReference) bool {
		return slices.ContainsFunc(drop, func(d metav1.OwnerReference) bool { return d.UID == ref.UID })
	})
}

// unblocking are the references, none of them blocking.
func unblocking(owners []metav1.OwnerReference) []metav1.OwnerReference {
	no := false
	all := slices.Clone(owners)
	for i := range all {
		all[i].BlockOwnerDeletion = &no
	}
	return all
}
