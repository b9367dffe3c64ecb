package replicationcontroller

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"dhow/api/check/checktest"
)

const good = `{metadata: {name: r}, spec: {template: {metadata: {labels: {app: a}}, spec: {containers: [{name: c, image: i:1}]}}}}`

func make(t *testing.T, changes ...string) *corev1.ReplicationController {
	t.Helper()
	r := checktest.Object[corev1.ReplicationController](t, good, changes...)
	Default(r)
	return r
}

func TestSelectorAndLabelsAreTheTemplates(t *testing.T) {
	r := make(t)
	if r.Spec.Selector["app"] != "a" || r.Labels["app"] != "a" || *r.Spec.Replicas != 1 {
		t.Errorf("got %v %v %d", r.Spec.Selector, r.Labels, *r.Spec.Replicas)
	}
	r = make(t, `{metadata: {labels: {b: c}}, spec: {selector: {d: e}, replicas: 0}}`)
	if r.Spec.Selector["d"] != "e" || len(r.Labels) != 1 || *r.Spec.Replicas != 0 {
		t.Errorf("got %v %v %d", r.Spec.Selector, r.Labels, *r.Spec.Replicas)
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		want   []string
	}{
		"good":        {``, nil},
		"no selector": {`{spec: {template: {metadata: null}}}`, []string{"spec.selector: Required value"}},
		"no template": {`{spec: {template: null, selector: {a: b}}}`, []string{"spec.template: Required value"}},
		"others' pods": {`{spec: {selector: {a: b}}}`, []string{
			"spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`"}},
		"negative": {`{spec: {replicas: -1, minReadySeconds: -1}}`, []string{
			"spec.replicas: Invalid value: -1: must be greater than or equal to 0", "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"}},
		"pods that end": {`{spec: {template: {spec: {restartPolicy: Never, activeDeadlineSeconds: 5}}}}`, []string{
			`spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"`,
			"spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not Supported"}},
	} {
		t.Run(name, func(t *testing.T) {
			checktest.Want(t, validate(t.Context(), make(t, c.change)), c.want...)
		})
	}
}

func TestStatusCountsAgree(t *testing.T) {
	r := make(t, `{status: {replicas: 1, fullyLabeledReplicas: 2, readyReplicas: 0, availableReplicas: 1, observedGeneration: -1}}`)
	checktest.Want(t, validateStatusUpdate(t.Context(), r, r),
		"status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas",
		"status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas",
		"status.observedGeneration: Invalid value: -1: must be greater than or equal to 0")
}

func TestNothingOfTheStatusIsLostWhereItIsSeenAsASets(t *testing.T) {
	r := make(t, `{status: {replicas: 4, fullyLabeledReplicas: 3, readyReplicas: 2, availableReplicas: 1, observedGeneration: 5,
		conditions: [{type: ReplicaFailure, status: "True", reason: FailedCreate, message: quota, lastTransitionTime: "2026-01-01T00:00:00Z"}]}}`)
	if got := fromSet(asSet(r).Status); !apiequality.Semantic.DeepEqual(got, r.Status) {
		t.Errorf("got %+v", got)
	}
}
