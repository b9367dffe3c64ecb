// Package protection keeps storage objects that are in use from going: the finalizers that they are made with, and
// when those are taken off. It finds no users; who uses an object is its kind's to know.
package protection

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Finalizers of objects that others may use.
const (
	Claim           = "kubernetes.io/pvc-protection"
	Volume          = "kubernetes.io/pv-protection"
	AttributesClass = "kubernetes.io/vac-protection"
)

// Due says whether a look at obj can change anything: it lacks the finalizer, or goes and has it.
func Due(obj metav1.Object, finalizer string) bool {
	return slices.Contains(obj.GetFinalizers(), finalizer) == (obj.GetDeletionTimestamp() != nil)
}

// Plan returns the finalizers that obj should have, and whether that is a change. used is asked only when it matters.
func Plan(obj metav1.Object, finalizer string, used func() (bool, error)) (finalizers []string, change bool, err error) {
	have := obj.GetFinalizers()
	if !Due(obj, finalizer) {
		return have, false, nil
	}
	if obj.GetDeletionTimestamp() == nil {
		return append(slices.Clone(have), finalizer), true, nil
	}
	if in, err := used(); in || err != nil {
		return have, false, err
	}
	return slices.DeleteFunc(slices.Clone(have), func(f string) bool { return f == finalizer }), true, nil
}
