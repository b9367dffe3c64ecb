package limitrange

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"dhow/api/check/checktest"
)

func rangeOf(t *testing.T, items string) *corev1.LimitRange {
	t.Helper()
	r := checktest.Object[corev1.LimitRange](t, `{metadata: {name: l}, spec: {limits: [`+items+`]}}`)
	Default(r)
	return r
}

func TestDefaultsAreTheTighterBounds(t *testing.T) {
	item := rangeOf(t, `{type: Container, max: {cpu: 2}, min: {memory: 1Mi}}`).Spec.Limits[0]
	if item.Default.Cpu().String() != "2" || item.DefaultRequest.Cpu().String() != "2" || item.DefaultRequest.Memory().String() != "1Mi" {
		t.Errorf("got %+v", item)
	}
	if item := rangeOf(t, `{type: Pod, max: {cpu: 2}}`).Spec.Limits[0]; item.Default != nil {
		t.Errorf("of pods: %+v", item)
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		items string
		want  []string
	}{
		"good":     {`{type: Container, min: {cpu: 100m}, max: {cpu: 1}, maxLimitRequestRatio: {cpu: 10}}, {type: Pod, max: {memory: 1Gi}}`, nil},
		"own type": {`{type: example.com/Thing, max: {example.com/x: 1}}`, nil},
		"types":    {`{type: Odd}, {type: Pod}, {type: Pod}`, []string{`spec.limits[0].type: Invalid value: "Odd": must be a standard limit type or fully qualified`, `spec.limits[2].type: Duplicate value: "Pod"`}},
		"names": {`{type: Container, max: {storage: 1Gi}}`, []string{
			`spec.limits[0].max[storage]: Invalid value: "storage": must be a standard resource for containers`,
			`spec.limits[0].default[storage]: Invalid value: "storage": must be a standard resource for containers`,
			`spec.limits[0].defaultRequest[storage]: Invalid value: "storage": must be a standard resource for containers`}},
		"defaults of pods": {`{type: Pod, default: {cpu: 1}, defaultRequest: {cpu: 1}}`, []string{
			"spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'", "spec.limits[0].defaultRequest: Forbidden: may not be specified when `type` is 'Pod'"}},
		"unbounded claims": {`{type: PersistentVolumeClaim}`, []string{"spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided"}},
		"order": {`{type: Container, min: {cpu: 4}, max: {cpu: 1}, default: {cpu: 2}, defaultRequest: {cpu: 3}}`, []string{
			`spec.limits[0].min[cpu]: Invalid value: "4": min value 4 is greater than max value 1`,
			`spec.limits[0].defaultRequest[cpu]: Invalid value: "3": min value 4 is greater than default request value 3`,
			`spec.limits[0].defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than max value 1`,
			`spec.limits[0].defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than default limit value 2`,
			`spec.limits[0].default[cpu]: Invalid value: "4": min value 4 is greater than default value 2`,
			`spec.limits[0].default[cpu]: Invalid value: "1": default value 2 is greater than max value 1`}},
		"ratio":     {`{type: Pod, min: {cpu: 500m}, max: {cpu: 1}, maxLimitRequestRatio: {cpu: 3}}`, []string{`spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000`}},
		"low ratio": {`{type: Pod, maxLimitRequestRatio: {cpu: 900m}}`, []string{`spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "900m": ratio 900m is less than 1`}},
		"devices": {`{type: Container, default: {example.com/gpu: 2}, defaultRequest: {example.com/gpu: 1}}`, []string{
			`spec.limits[0].defaultRequest[example.com/gpu]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in example.com/gpu`}},
	} {
		t.Run(name, func(t *testing.T) {
			checktest.Want(t, validate(t.Context(), rangeOf(t, c.items)), c.want...)
		})
	}
}
