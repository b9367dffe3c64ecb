package lease

import (
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
)

func TestDurationIsPositive(t *testing.T) {
	zero := int32(0)
	errs := validate(t.Context(), &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{LeaseDurationSeconds: &zero}})
	if want := "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"; len(errs) != 1 || errs[0].Error() != want {
		t.Errorf("got %v", errs)
	}
}

func TestCoordinatedElectionIsOff(t *testing.T) {
	strategy, holder := coordinationv1.OldestEmulationVersion, "h"
	l := &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{Strategy: &strategy, PreferredHolder: &holder}}
	kept := l.DeepCopy()
	dropElection(kept, l)
	dropElection(l, nil)
	if l.Spec.Strategy != nil || l.Spec.PreferredHolder != nil || kept.Spec.Strategy == nil || kept.Spec.PreferredHolder == nil {
		t.Errorf("new %+v, with old %+v", l.Spec, kept.Spec)
	}
}
