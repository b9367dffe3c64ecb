package job

import (
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
)

// Labels of a Job's pods by older names, which clients still select by.
const (
	oldControllerUID = "controller-uid"
	oldJobName       = "job-name"
)

// generateSelector labels the pods with the Job's name and UID, and selects by the latter, unless the user wants to
// select by themselves. Labels that the user has set stay; validation refuses them where they are others.
func generateSelector(j *batchv1.Job) {
	if table.Value(j.Spec.ManualSelector) {
		return
	}
	s := &j.Spec
	add(&s.Template.Labels, oldJobName, j.Name)
	add(&s.Template.Labels, batchv1.JobNameLabel, j.Name)
	add(&s.Template.Labels, oldControllerUID, string(j.UID))
	add(&s.Template.Labels, batchv1.ControllerUidLabel, string(j.UID))
	if s.Selector == nil {
		s.Selector = &metav1.LabelSelector{}
	}
	add(&s.Selector.MatchLabels, batchv1.ControllerUidLabel, string(j.UID))
}

func add(set *map[string]string, key, value string) {
	if *set == nil {
		*set = map[string]string{}
	}
	if _, has := (*set)[key]; !has {
		(*set)[key] = value
	}
}

// generated requires the labels and the selector that generateSelector makes. Jobs from before the newer names (old
// says so) need have the older ones only.
func generated(l *check.List, j *batchv1.Job, old bool) {
	if table.Value(j.Spec.ManualSelector) || j.Spec.Selector == nil {
		return
	}
	if j.UID == "" {
		l.Required(field.NewPath("metadata", "uid"), "")
	}
	expected := labels.Set{}
	expect := func(key, value string) {
		expected[key] = value
		hasLabel(l, field.NewPath("spec", "template", "metadata", "labels").Key(key), j.Spec.Template.Labels, key, value)
	}
	expect(oldControllerUID, string(j.UID))
	expect(oldJobName, j.Name)
	if !old {
		expect(batchv1.ControllerUidLabel, string(j.UID))
		expect(batchv1.JobNameLabel, j.Name)
	}
	if selector, err := metav1.LabelSelectorAsSelector(j.Spec.Selector); err == nil && !selector.Matches(expected) {
		l.Invalid(field.NewPath("spec", "selector"), j.Spec.Selector, "`selector` not auto-generated")
	}
}

func hasLabel(l *check.List, at *field.Path, set map[string]string, key, value string) {
	actual, has := set[key]
	switch {
	case !has:
		l.Required(at, "must be '"+value+"'")
	case actual != value:
		l.Invalid(at, set, "must be '"+value+"'")
	}
}

// isOld says whether a stored Job's pods lack the newer labels.
func isOld(j *batchv1.Job) bool {
	_, name := j.Spec.Template.Labels[batchv1.JobNameLabel]
	_, uid := j.Spec.Template.Labels[batchv1.ControllerUidLabel]
	return !name || !uid
}
