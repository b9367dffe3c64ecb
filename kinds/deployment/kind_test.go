package deployment

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/randfill"
	"sigs.k8s.io/yaml"
)

func deploymentOf(t *testing.T, text string) *appsv1.Deployment {
	t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "default"}}
	if err := yaml.UnmarshalStrict([]byte(text), d); err != nil {
		t.Fatal(err)
	}
	Default(d)
	return d
}

func text(errs field.ErrorList) []string {
	var all []string
	for _, err := range errs {
		all = append(all, err.Error())
	}
	slices.Sort(all)
	return all
}

const template = `template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}`
const good = `{spec: {selector: {matchLabels: {a: b}}, ` + template + `}}`

func TestDefault(t *testing.T) {
	s := deploymentOf(t, good).Spec
	r := s.Strategy.RollingUpdate
	if *s.Replicas != 1 || *s.RevisionHistoryLimit != 10 || *s.ProgressDeadlineSeconds != 600 ||
		s.Strategy.Type != "RollingUpdate" || r.MaxSurge.String() != "25%" || r.MaxUnavailable.String() != "25%" {
		t.Errorf("spec %+v", s)
	}
	if s.Template.Spec.RestartPolicy != "Always" || s.Template.Spec.Containers[0].ImagePullPolicy != "Always" {
		t.Errorf("template %+v", s.Template.Spec)
	}
}

func TestValidateSaysWhatIsWrongInUpstreamsWords(t *testing.T) {
	for name, c := range map[string]struct {
		deployment string
		want       []string
	}{
		"good": {good, nil},
		"no selector": {`{spec: {` + template + `}}`, []string{
			"spec.selector: Required value",
			"spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"}},
		"other labels": {strings.Replace(good, "matchLabels: {a: b}", "matchLabels: {a: c}", 1), []string{
			"spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"}},
		"empty selector": {strings.Replace(good, "{matchLabels: {a: b}}", "{}", 1), []string{
			`spec.selector: Invalid value: {}: empty selector is invalid for deployment`}},
		"negative replicas": {strings.Replace(good, "selector", "replicas: -1, selector", 1), []string{
			`spec.replicas: Invalid value: -1: must be greater than or equal to 0`}},
		"no room": {strings.Replace(good, "selector", "strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}, selector", 1), []string{
			"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"}},
		"too much room": {strings.Replace(good, "selector", `strategy: {rollingUpdate: {maxUnavailable: "101%"}}, selector`, 1), []string{
			`spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%`}},
		"recreate": {strings.Replace(good, "selector", `strategy: {type: Recreate, rollingUpdate: {}}, selector`, 1), []string{
			"spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"}},
		"deadline": {strings.Replace(good, "selector", `minReadySeconds: 600, selector`, 1), []string{
			`spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds`}},
		"restart policy": {strings.Replace(good, "containers", "restartPolicy: Never, containers", 1), []string{
			`spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"`}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := text(validate(t.Context(), deploymentOf(t, c.deployment))); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestSelectorIsImmutable(t *testing.T) {
	old := deploymentOf(t, good)
	now := deploymentOf(t, strings.ReplaceAll(good, "{a: b}", "{a: c}"))
	want := []string{`spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable`}
	if got := text(validateUpdate(t.Context(), now, old)); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestStatusCountsMakeSense(t *testing.T) {
	d := deploymentOf(t, good)
	d.Status = appsv1.DeploymentStatus{Replicas: 1, ReadyReplicas: 2, AvailableReplicas: 1}
	want := []string{"status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"}
	if got := text(validateStatusUpdate(t.Context(), d, d)); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestColumns(t *testing.T) {
	d := deploymentOf(t, good)
	d.Status = appsv1.DeploymentStatus{Replicas: 3, ReadyReplicas: 2, UpdatedReplicas: 1, AvailableReplicas: 2}
	want := []any{"2/1", int64(1), int64(2), "<unknown>", "c", "i", "a=b"}
	if got := cells(d); !slices.Equal(got, want) || len(columns()) != len(want)+1 {
		t.Errorf("got %v", got)
	}
}

func FuzzRulesNeverPanic(f *testing.F) {
	for seed := range 100 {
		f.Add(int64(seed))
	}
	f.Fuzz(func(t *testing.T, seed int64) {
		var now, old appsv1.Deployment
		fill := randfill.NewWithSeed(seed).NilChance(0.5).NumElements(0, 2).MaxDepth(12)
		fill.Fill(&now)
		fill.Fill(&old)
		validateUpdate(t.Context(), &now, &old)
		Default(&now)
		prepareForUpdate(t.Context(), &now, &old)
		validateUpdate(t.Context(), &now, &old)
		validateStatusUpdate(t.Context(), &now, &old)
		cells(&now)
	})
}
