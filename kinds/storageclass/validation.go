package storageclass

import (
	"context"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/volumespec"
)

func validate(_ context.Context, c *storagev1.StorageClass) field.ErrorList {
	var l check.List
	volumespec.CheckProvisioner(&l, field.NewPath("provisioner"), c.Provisioner)
	volumespec.CheckParameters(&l, field.NewPath("parameters"), c.Parameters, false)
	if p := c.ReclaimPolicy; p != nil && *p != "" {
		check.Known(&l, field.NewPath("reclaimPolicy"), *p, corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain)
	}
	if mode := c.VolumeBindingMode; mode == nil {
		l.Required(field.NewPath("volumeBindingMode"), "")
	} else {
		check.Known(&l, field.NewPath("volumeBindingMode"), *mode, storagev1.VolumeBindingImmediate, storagev1.VolumeBindingWaitForFirstConsumer)
	}
	checkTopologies(&l, field.NewPath("allowedTopologies"), c.AllowedTopologies)
	return l.Errors()
}

// topology is one term as a set: the values of each key.
type topology map[string]sets.Set[string]

// checkTopologies requires terms that differ.
func checkTopologies(l *check.List, at *field.Path, terms []corev1.TopologySelectorTerm) {
	var seen []topology
	for i := range terms {
		t := checkTopology(l, at.Index(i).Child("matchLabelExpressions"), terms[i].MatchLabelExpressions)
		for _, before := range seen {
			if reflect.DeepEqual(t, before) {
				l.Duplicate(at.Index(i).Child("matchLabelExpressions"), "")
			}
		}
		seen = append(seen, t)
	}
}

func checkTopology(l *check.List, at *field.Path, requirements []corev1.TopologySelectorLabelRequirement) topology {
	t := topology{}
	for i, r := range requirements {
		values, set := at.Index(i).Child("values"), sets.Set[string]{}
		if len(r.Values) == 0 {
			l.Required(values, "")
		}
		for j, value := range r.Values {
			if set.Has(value) {
				l.Duplicate(values.Index(j), value)
			}
			set.Insert(value)
		}
		l.LabelKey(at.Index(i).Child("key"), r.Key)
		if _, again := t[r.Key]; again {
			l.Duplicate(at.Index(i).Child("key"), r.Key)
		}
		t[r.Key] = set
	}
	return t
}

func validateUpdate(ctx context.Context, c, old *storagev1.StorageClass) field.ErrorList {
	var l check.List
	l.Add(validate(ctx, c)...)
	l.Immutable(field.NewPath("parameters"), c.Parameters, old.Parameters)
	l.Immutable(field.NewPath("provisioner"), c.Provisioner, old.Provisioner)
	l.Immutable(field.NewPath("reclaimPolicy"), c.ReclaimPolicy, old.ReclaimPolicy)
	l.Immutable(field.NewPath("volumeBindingMode"), c.VolumeBindingMode, old.VolumeBindingMode)
	return l.Errors()
}
