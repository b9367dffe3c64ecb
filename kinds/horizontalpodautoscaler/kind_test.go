package horizontalpodautoscaler

import (
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"dhow/api/check/checktest"
)

const good = `{metadata: {name: a}, spec: {maxReplicas: 5, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}}}`

func autoscaler(t *testing.T, changes ...string) *hpa {
	t.Helper()
	a := checktest.Object[hpa](t, good, changes...)
	Default(a)
	return a
}

func TestDefaults(t *testing.T) {
	a := autoscaler(t)
	if *a.Spec.MinReplicas != 1 || len(a.Spec.Metrics) != 1 || *cpuPercent(&a.Spec.Metrics[0]) != 80 || a.Spec.Behavior != nil {
		t.Errorf("got %+v", a.Spec)
	}
	b := autoscaler(t, `{spec: {behavior: {scaleUp: {selectPolicy: Min}}}}`).Spec.Behavior
	if *b.ScaleUp.SelectPolicy != "Min" || len(b.ScaleUp.Policies) != 2 || *b.ScaleUp.StabilizationWindowSeconds != 0 {
		t.Errorf("up %+v", b.ScaleUp)
	}
	if *b.ScaleDown.SelectPolicy != "Max" || len(b.ScaleDown.Policies) != 1 || b.ScaleDown.StabilizationWindowSeconds != nil {
		t.Errorf("down %+v", b.ScaleDown)
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		want   []string
	}{
		"good":                        {``, nil},
		"replicas":                    {`{spec: {minReplicas: 6}}`, []string{"spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`"}},
		"no maximum":                  {`{spec: {maxReplicas: 0, minReplicas: null}}`, []string{"spec.maxReplicas: Required value: must be set and greater than 0", "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`"}},
		"to zero":                     {`{spec: {minReplicas: 0}}`, []string{"spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas"}},
		"to zero, by what is outside": {`{spec: {minReplicas: 0, metrics: [{type: External, external: {metric: {name: queue}, target: {type: Value, value: 5}}}]}}`, nil},
		"target":                      {`{spec: {scaleTargetRef: {apiVersion: v1, kind: "", name: a/b}}}`, []string{"spec.scaleTargetRef.kind: Required value", `spec.scaleTargetRef.name: Invalid value: "a/b": may not contain '/'`, `spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group`}},
		"target without group":        {`{spec: {scaleTargetRef: {apiVersion: v1, kind: ReplicationController}}}`, nil},
		"no type": {`{spec: {metrics: [{}]}}`, []string{"spec.metrics[0].type: Required value: must specify a metric source type",
			`spec.metrics[0].type: Unsupported value: "": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"`}},
		"no source": {`{spec: {metrics: [{type: Pods}]}}`, []string{"spec.metrics[0].pods: Required value: must populate information for the given metric source"}},
		"two sources": {`{spec: {metrics: [{type: Pods, pods: {metric: {name: m}, target: {type: AverageValue, averageValue: 1}}, resource: {}}]}}`, []string{
			"spec.metrics[0].resource: Forbidden: must populate the given metric source only"}},
		"object": {`{spec: {metrics: [{type: Object, object: {describedObject: {kind: Service, name: s}, metric: {name: ""}, target: {type: Odd, value: 0}}}]}}`, []string{
			"spec.metrics[0].object.metric.name: Required value: must specify a metric name",
			`spec.metrics[0].object.target.type: Invalid value: "Odd": must be either Utilization, Value, or AverageValue`,
			`spec.metrics[0].object.target.value: Invalid value: "0": must be positive`}},
		"resource": {`{spec: {metrics: [{type: Resource, resource: {target: {type: Utilization, averageUtilization: 0, averageValue: 1}}}]}}`, []string{
			"spec.metrics[0].resource.name: Required value: must specify a resource name",
			"spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
			"spec.metrics[0].resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization"}},
		"container": {`{spec: {metrics: [{type: ContainerResource, containerResource: {name: cpu, container: "", target: {type: Utilization}}}]}}`, []string{
			"spec.metrics[0].containerResource.container: Required value: must specify a container",
			"spec.metrics[0].containerResource.target.averageUtilization: Required value: must set either a target raw value or a target utilization"}},
		"behaviour": {`{spec: {behavior: {scaleUp: {stabilizationWindowSeconds: 3601, selectPolicy: Odd, tolerance: -1, policies: [{type: Odd, value: 0, periodSeconds: 1801}]}, scaleDown: {policies: []}}}}`, []string{
			"spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
			`spec.behavior.scaleUp.selectPolicy: Unsupported value: "Odd": supported values: "Disabled", "Max", "Min"`,
			`spec.behavior.scaleUp.policies[0].type: Unsupported value: "Odd": supported values: "Percent", "Pods"`,
			"spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
			"spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
			`spec.behavior.scaleUp.tolerance: Invalid value: "-1": must be greater than or equal to 0`,
			"spec.behavior.scaleDown.policies: Required value: must specify at least one Policy"}},
	} {
		t.Run(name, func(t *testing.T) {
			checktest.Want(t, validate(t.Context(), autoscaler(t, c.change)), c.want...)
		})
	}
}

func TestWrongVersionsOfOldStay(t *testing.T) {
	old := autoscaler(t, `{spec: {scaleTargetRef: {apiVersion: v1}}}`)
	checktest.Want(t, validateUpdate(t.Context(), autoscaler(t, `{spec: {maxReplicas: 7, scaleTargetRef: {apiVersion: v1}}}`), old))
}

const everything = `{metadata: {annotations: {x: y}}, spec: {minReplicas: 2,
	metrics: [
		{type: Pods, pods: {metric: {name: p, selector: {matchLabels: {a: b}}}, target: {type: AverageValue, averageValue: 1500m}}},
		{type: Object, object: {describedObject: {kind: Service, name: s}, metric: {name: o}, target: {type: Value, value: 7}}},
		{type: External, external: {metric: {name: e}, target: {type: AverageValue, averageValue: 3}}},
		{type: ContainerResource, containerResource: {name: memory, container: c, target: {type: Utilization, averageUtilization: 40}}},
		{type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 1Gi}}},
		{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}],
	behavior: {scaleDown: {stabilizationWindowSeconds: 30, tolerance: 100m, policies: [{type: Pods, value: 1, periodSeconds: 60}]}}},
	status: {currentReplicas: 3, desiredReplicas: 4, observedGeneration: 2, conditions: [{type: AbleToScale, status: "True", reason: r, message: m, observedGeneration: 2, lastTransitionTime: "2026-01-01T00:00:00Z"}],
		currentMetrics: [{type: Resource, resource: {name: cpu, current: {averageUtilization: 55, averageValue: 550m}}}, {type: Pods, pods: {metric: {name: p}, current: {averageValue: 2}}}]}}`

func TestNothingIsLostOnTheWayThroughV1(t *testing.T) {
	a := autoscaler(t, everything)
	var old autoscalingv1.HorizontalPodAutoscaler
	toV1(a, &old)
	if *old.Spec.TargetCPUUtilizationPercentage != 60 || *old.Status.CurrentCPUUtilizationPercentage != 55 || len(old.Annotations) != 5 || old.Status.DesiredReplicas != 4 {
		t.Errorf("as v1: %+v", old)
	}
	if text := old.Annotations[metricsKey]; !strings.HasPrefix(text, `[{"type":"Pods","pods":{"metricName":"p","targetAverageValue":"1500m","selector":{"matchLabels":{"a":"b"}}}}`) {
		t.Errorf("metrics travel as %s", text)
	}
	var back hpa
	fromV1(&old, &back)
	back.TypeMeta = a.TypeMeta
	if !apiequality.Semantic.DeepEqual(a, &back) {
		t.Errorf("got\n%+v\nwant\n%+v", back, *a)
	}
}

func TestV1WithoutMetricsAimsAtTheDefault(t *testing.T) {
	old := checktest.Object[autoscalingv1.HorizontalPodAutoscaler](t, good)
	var a hpa
	fromV1(old, &a)
	if len(a.Spec.Metrics) != 1 || *cpuPercent(&a.Spec.Metrics[0]) != 80 || *a.Spec.MinReplicas != 1 {
		t.Errorf("got %+v", a.Spec)
	}
}

func TestV2HasNoAnnotationsForV1(t *testing.T) {
	a := autoscaler(t, `{metadata: {annotations: {autoscaling.alpha.kubernetes.io/metrics: "[]", x: y}}}`)
	dropCarried(a)
	if len(a.Annotations) != 1 {
		t.Errorf("got %v", a.Annotations)
	}
}

func TestTargetsAreTheFirstTwo(t *testing.T) {
	for change, want := range map[string]string{
		``:         "cpu: <unknown>/80%",
		everything: "<unknown>/1500m, <unknown>/7 + 4 more...",
		`{spec: {metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}, {type: External, external: {metric: {name: e}, target: {type: AverageValue, averageValue: 3}}}]},
			status: {currentMetrics: [{type: Resource, resource: {name: cpu, current: {averageUtilization: 70}}}, {type: External, external: {metric: {name: e}, current: {averageValue: 2}}}]}}`: "cpu: 70%/50%, 2/3 (avg)",
		`{spec: {metrics: [{type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 1Gi}}}]},
			status: {currentMetrics: [{type: Resource, resource: {name: memory, current: {averageValue: 2Gi}}}]}}`: "memory: 2Gi/1Gi",
	} {
		a := autoscaler(t, change)
		if got := targets(a.Spec.Metrics, a.Status.CurrentMetrics); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
