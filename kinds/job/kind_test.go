package job

import (
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/check/checktest"
)

const good = `{metadata: {name: j, uid: u}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i:1}]}}}}`

// make makes a Job as the server does on create.
func make(t *testing.T, changes ...string) *batchv1.Job {
	t.Helper()
	j := checktest.Object[batchv1.Job](t, good, changes...)
	Default(j)
	generateSelector(j)
	return j
}

func TestDefaults(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		want   func(s *batchv1.JobSpec) bool
	}{
		"one pod":              {``, func(s *batchv1.JobSpec) bool { return *s.Completions == 1 && *s.Parallelism == 1 }},
		"a work queue":         {`{spec: {parallelism: 3}}`, func(s *batchv1.JobSpec) bool { return s.Completions == nil && *s.Parallelism == 3 }},
		"one at a time":        {`{spec: {completions: 3}}`, func(s *batchv1.JobSpec) bool { return *s.Completions == 3 && *s.Parallelism == 1 }},
		"tries":                {``, func(s *batchv1.JobSpec) bool { return *s.BackoffLimit == 6 }},
		"tries of indexes":     {`{spec: {backoffLimitPerIndex: 1}}`, func(s *batchv1.JobSpec) bool { return *s.BackoffLimit == 1<<31-1 }},
		"replaces":             {``, func(s *batchv1.JobSpec) bool { return *s.PodReplacementPolicy == batchv1.TerminatingOrFailed }},
		"replaces by a policy": {`{spec: {podFailurePolicy: {rules: []}}}`, func(s *batchv1.JobSpec) bool { return *s.PodReplacementPolicy == batchv1.Failed }},
		"condition that holds": {`{spec: {podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}]}}}`,
			func(s *batchv1.JobSpec) bool {
				return s.PodFailurePolicy.Rules[0].OnPodConditions[0].Status == "True"
			}},
	} {
		t.Run(name, func(t *testing.T) {
			j := make(t, c.change)
			if !c.want(&j.Spec) {
				t.Errorf("got %+v", j.Spec)
			}
		})
	}
}

func TestSelectorIsGeneratedUnlessTheUserWantsTheirOwn(t *testing.T) {
	j := make(t, `{spec: {template: {metadata: {labels: {app: a}}}}}`)
	if j.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel] != "u" || len(j.Spec.Template.Labels) != 5 || len(j.Labels) != 5 {
		t.Errorf("selects %v of %v, itself %v", j.Spec.Selector, j.Spec.Template.Labels, j.Labels)
	}
	checktest.Want(t, validate(t.Context(), j))

	j = make(t, `{spec: {manualSelector: true, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}}}}`)
	if len(j.Spec.Template.Labels) != 1 {
		t.Errorf("labels %v", j.Spec.Template.Labels)
	}
	checktest.Want(t, validate(t.Context(), j))
}

func TestLabelsThatContradictTheGeneratedOnesAreRefused(t *testing.T) {
	j := make(t, `{spec: {template: {metadata: {labels: {job-name: other}}}}}`)
	checktest.Want(t, validate(t.Context(), j),
		`spec.template.metadata.labels[job-name]: Invalid value: {"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"j","controller-uid":"u","job-name":"other"}: must be 'j'`)
	j = make(t, `{spec: {selector: {matchLabels: {app: a}}}}`)
	checktest.Want(t, validate(t.Context(), j),
		"spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"a\",\"batch.kubernetes.io/controller-uid\":\"u\"}}: `selector` not auto-generated",
		"spec.template.metadata.labels: Invalid value: {\"batch.kubernetes.io/controller-uid\":\"u\",\"batch.kubernetes.io/job-name\":\"j\",\"controller-uid\":\"u\",\"job-name\":\"j\"}: `selector` does not match template `labels`")
}

func TestStateIsOneWord(t *testing.T) {
	condition := func(kinds ...batchv1.JobConditionType) func(*batchv1.Job) {
		return func(j *batchv1.Job) {
			for _, k := range kinds {
				j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: k, Status: "True"})
			}
		}
	}
	for want, edit := range map[string]func(*batchv1.Job){
		"Running": condition(), "Suspended": condition(batchv1.JobSuspended), "FailureTarget": condition(batchv1.JobFailureTarget),
		"Failed": condition(batchv1.JobFailureTarget, batchv1.JobFailed), "Complete": condition(batchv1.JobSuccessCriteriaMet, batchv1.JobComplete),
		"SuccessCriteriaMet": condition(batchv1.JobSuccessCriteriaMet),
		"Terminating":        func(j *batchv1.Job) { now := metav1.Now(); j.DeletionTimestamp = &now },
	} {
		j := make(t)
		edit(j)
		if got := state(j); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestProgressCountsWhatIsAskedFor(t *testing.T) {
	for change, want := range map[string]string{"": "0/1", "{spec: {completions: 5}}": "0/5", "{spec: {parallelism: 4}}": "0/1 of 4", "{spec: {parallelism: 1}}": "0/1"} {
		if got := progress(make(t, change)); got != want {
			t.Errorf("%s: got %s, want %s", change, got, want)
		}
	}
}

func TestWarnsOfNames(t *testing.T) {
	j := make(t, `{metadata: {name: j.k}}`)
	got := warn(t.Context(), j, nil)
	if !slices.ContainsFunc(got, func(s string) bool { return len(s) > 13 && s[:13] == "metadata.name" }) {
		t.Errorf("got %q", got)
	}
	if got := warn(t.Context(), j, j); got != nil {
		t.Errorf("on an update of nothing: %q", got)
	}
}
