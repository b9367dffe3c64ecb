package pod

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/randfill"
	"sigs.k8s.io/yaml"
)

func podOf(t *testing.T, text string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default"}}
	if err := yaml.UnmarshalStrict([]byte(text), pod); err != nil {
		t.Fatal(err)
	}
	Default(pod)
	return pod
}

func text(errs field.ErrorList) []string {
	var all []string
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}

func TestPrepareForCreateResetsStatus(t *testing.T) {
	pod := podOf(t, `{spec: {containers: [{name: a, image: i}], schedulingGates: [{name: x}]}, status: {phase: Running, podIP: 1.1.1.1}}`)
	prepareForCreate(t.Context(), pod)
	s := pod.Status
	if s.Phase != corev1.PodPending || s.PodIP != "" || s.QOSClass != corev1.PodQOSBestEffort || pod.Generation != 1 {
		t.Errorf("status %+v, generation %d", s, pod.Generation)
	}
	if len(s.Conditions) != 1 || s.Conditions[0].Reason != "SchedulingGated" {
		t.Errorf("conditions %+v", s.Conditions)
	}
}

func TestPrepareForCreateMergesLabelKeysIntoSelectors(t *testing.T) {
	pod := podOf(t, `{metadata: {labels: {v: "1"}}, spec: {containers: [{name: a, image: i}], topologySpreadConstraints: [
		{maxSkew: 1, topologyKey: z, whenUnsatisfiable: DoNotSchedule, labelSelector: {}, matchLabelKeys: [v, missing]}]}}`)
	prepareForCreate(t.Context(), pod)
	if got := metav1.FormatLabelSelector(pod.Spec.TopologySpreadConstraints[0].LabelSelector); got != "v in (1)" {
		t.Errorf("got %s", got)
	}
}

func TestGracePeriod(t *testing.T) {
	five, zero := int64(5), int64(0)
	for name, c := range map[string]struct {
		pod   string
		asked *int64
		want  int64
	}{
		"of the specification":   {`{spec: {nodeName: w1, terminationGracePeriodSeconds: 7}}`, nil, 7},
		"of the client":          {`{spec: {nodeName: w1}}`, &five, 5},
		"none when asked":        {`{spec: {nodeName: w1}}`, &zero, 0},
		"none when unscheduled":  {`{spec: {}}`, &five, 0},
		"none when ended":        {`{spec: {nodeName: w1}, status: {phase: Failed}}`, nil, 0},
		"one second if negative": {`{spec: {nodeName: w1, terminationGracePeriodSeconds: -1}}`, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			options := &metav1.DeleteOptions{GracePeriodSeconds: c.asked}
			if !gracePeriod(t.Context(), podOf(t, c.pod), options) || *options.GracePeriodSeconds != c.want {
				t.Errorf("got %d, want %d", *options.GracePeriodSeconds, c.want)
			}
		})
	}
}

const base = `{containers: [{name: a, image: i}], initContainers: [{name: b, image: j}], activeDeadlineSeconds: 50, tolerations: [{key: k, operator: Exists}]`

func TestUpdateAllowsWhatUpstreamAllows(t *testing.T) {
	for name, spec := range map[string]string{
		"images":     `{containers: [{name: a, image: new, imagePullPolicy: Always}], initContainers: [{name: b, image: new, imagePullPolicy: Always}], activeDeadlineSeconds: 50, tolerations: [{key: k, operator: Exists}]}`,
		"deadline":   strings.Replace(base, "50", "20", 1) + "}",
		"toleration": strings.Replace(base, "[{key: k, operator: Exists}]", "[{key: k, operator: Exists}, {key: l, operator: Exists}]", 1) + "}",
	} {
		t.Run(name, func(t *testing.T) {
			old, now := podOf(t, "spec: "+base+"}"), podOf(t, "spec: "+spec)
			if errs := validateUpdate(t.Context(), now, old); len(errs) > 0 {
				t.Error(errs.ToAggregate())
			}
		})
	}
}

func TestUpdateRefusesTheRest(t *testing.T) {
	const fields = "spec: Forbidden: pod updates may not change fields other than " + updatable + "\n"
	for name, c := range map[string]struct{ old, now, want string }{
		"command": {base + "}", strings.Replace(base, "image: i", "image: i, command: [x]", 1) + "}", fields},
		"node":    {base + "}", base + ", nodeName: w1}", fields},
		"container": {base + "}", strings.Replace(base, "{name: a, image: i}", "{name: a, image: i}, {name: c, image: i}", 1) + "}",
			"spec.containers: Forbidden: pod updates may not add or remove containers"},
		"later deadline": {base + "}", strings.Replace(base, "50", "60", 1) + "}",
			"spec.activeDeadlineSeconds: Invalid value: 60: must be less than or equal to previous value"},
		"fewer tolerations": {base + "}", strings.Replace(base, "[{key: k, operator: Exists}]", "[]", 1) + "}",
			"spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"},
		"new gate": {base + "}", base + ", schedulingGates: [{name: g}]}",
			"spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'"},
		"wider placement of a gated pod": {base + ", nodeSelector: {a: b}, schedulingGates: [{name: g}]}", base + ", schedulingGates: [{name: g}]}",
			"spec.nodeSelector: Invalid value: null: only additions to spec.nodeSelector are allowed (no mutations or deletions)"},
	} {
		t.Run(name, func(t *testing.T) {
			got := text(validateUpdate(t.Context(), podOf(t, "spec: "+c.now), podOf(t, "spec: "+c.old)))
			if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestGatedPodMayBeNarrowed(t *testing.T) {
	old := podOf(t, "spec: "+base+", schedulingGates: [{name: g}]}")
	now := podOf(t, "spec: "+base+", schedulingGates: [{name: g}], nodeSelector: {a: b}}")
	if errs := validateUpdate(t.Context(), now, old); len(errs) > 0 {
		t.Error(errs.ToAggregate())
	}
}

func TestStatusKeepsEndedContainersEnded(t *testing.T) {
	old := podOf(t, `{spec: {restartPolicy: Never, containers: [{name: a, image: i}]}, status: {containerStatuses: [{name: a, image: "", imageID: "", ready: false, restartCount: 0, state: {terminated: {exitCode: 1}}}]}}`)
	now := old.DeepCopy()
	now.Status.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	want := []string{"status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"}
	if got := text(validateStatusUpdate(t.Context(), now, old)); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	old.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	if got := text(validateStatusUpdate(t.Context(), now, old)); got != nil {
		t.Errorf("OnFailure: got %q", got)
	}
}

func TestResize(t *testing.T) {
	const pod = `{spec: {containers: [{name: a, image: i, resources: {requests: {cpu: %s}, limits: {memory: %s}}}]}, status: {qosClass: Burstable}}`
	of := func(cpu, memory string) *corev1.Pod { return podOf(t, fmt.Sprintf(pod, cpu, memory)) }
	if errs := validateResize(of("2", "2Gi"), of("1", "1Gi")); len(errs) > 0 {
		t.Error(errs.ToAggregate())
	}
	now := of("2", "2Gi")
	now.Spec.Containers[0].Resources = corev1.ResourceRequirements{}
	if got := text(validateResize(now, of("1", "1Gi"))); !slices.Contains(got, "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed") {
		t.Errorf("got %q", got)
	}
	now = of("2", "1Gi")
	now.Spec.Containers[0].Image = "other"
	if got := text(validateResize(now, of("1", "1Gi"))); !slices.Equal(got, []string{"spec: Forbidden: only cpu and memory resources are mutable"}) {
		t.Errorf("got %q", got)
	}
}

func TestAssignPutsAPodOntoANodeOnce(t *testing.T) {
	pod := podOf(t, `{spec: {containers: []}}`)
	binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{"a": "b"}}, Target: corev1.ObjectReference{Name: "n"}}
	if err := assign(pod, binding); err != nil {
		t.Fatal(err)
	}
	if pod.Spec.NodeName != "n" || pod.Annotations["a"] != "b" || !conditionTrue(pod, corev1.PodScheduled) {
		t.Errorf("pod %+v", pod)
	}
	if err := assign(pod, binding); err == nil || err.Error() != `pod p is already assigned to node "n"` {
		t.Errorf("second binding: %v", err)
	}
}

func TestColumns(t *testing.T) {
	ago := func(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339) }
	const status = `, image: "", imageID: "", restartCount: 0, ready: `
	for name, c := range map[string]struct {
		pod  string
		want []any
	}{
		"pending": {`{spec: {containers: [{name: a}]}, status: {phase: Pending}}`,
			[]any{"0/1", "Pending", "0", "<unknown>", "<none>", "<none>", "<none>", "<none>"}},
		"running": {`{spec: {nodeName: w1, containers: [{name: a}]}, status: {phase: Running, podIPs: [{ip: 10.0.0.1}],
			containerStatuses: [{name: a` + status + `true, state: {running: {}}}]}}`,
			[]any{"1/1", "Running", "0", "<unknown>", "10.0.0.1", "w1", "<none>", "<none>"}},
		"restarted": {`{spec: {containers: [{name: a}]}, status: {phase: Running, containerStatuses: [{name: a, image: "", imageID: "", restartCount: 3, ready: false,
			state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, finishedAt: "` + ago(15*time.Minute) + `"}}}]}}`,
			[]any{"0/1", "CrashLoopBackOff", "3 (15m ago)", "<unknown>", "<none>", "<none>", "<none>", "<none>"}},
		"initializing": {`{spec: {initContainers: [{name: i}, {name: j}], containers: [{name: a}]}, status: {phase: Pending, initContainerStatuses: [
			{name: i` + status + `true, state: {terminated: {exitCode: 0}}}, {name: j` + status + `false, state: {running: {}}}]}}`,
			[]any{"0/1", "Init:1/2", "0", "<unknown>", "<none>", "<none>", "<none>", "<none>"}},
		"init failed": {`{spec: {initContainers: [{name: i}], containers: [{name: a}]}, status: {phase: Pending, initContainerStatuses: [
			{name: i` + status + `false, state: {terminated: {exitCode: 3}}}]}}`,
			[]any{"0/1", "Init:ExitCode:3", "0", "<unknown>", "<none>", "<none>", "<none>", "<none>"}},
		"sidecar": {`{spec: {initContainers: [{name: s, restartPolicy: Always}], containers: [{name: a}]}, status: {phase: Running,
			initContainerStatuses: [{name: s, started: true` + status + `true, state: {running: {}}}], containerStatuses: [{name: a` + status + `true, state: {running: {}}}]}}`,
			[]any{"2/2", "Running", "0", "<unknown>", "<none>", "<none>", "<none>", "<none>"}},
		"completed": {`{spec: {containers: [{name: a}]}, status: {phase: Succeeded, containerStatuses: [{name: a` + status + `false, state: {terminated: {exitCode: 0, reason: Completed}}}]}}`,
			[]any{"0/1", "Completed", "0", "<unknown>", "<none>", "<none>", "<none>", "<none>"}},
		"terminating": {`{metadata: {deletionTimestamp: "` + ago(0) + `"}, spec: {containers: [{name: a}]}, status: {phase: Running, containerStatuses: [{name: a` + status + `true, state: {running: {}}}]}}`,
			[]any{"1/1", "Terminating", "0", "<unknown>", "<none>", "<none>", "<none>", "<none>"}},
		"gated": {`{spec: {containers: [{name: a}], readinessGates: [{conditionType: x/y}]}, status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: SchedulingGated}]}}`,
			[]any{"0/1", "SchedulingGated", "0", "<unknown>", "<none>", "<none>", "<none>", "0/1"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := cells(podOf(t, c.pod)); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if got := len(columns()); got != 9 {
		t.Errorf("%d columns", got)
	}
}

func FuzzUpdatesNeverPanic(f *testing.F) {
	for seed := range 100 {
		f.Add(int64(seed))
	}
	f.Fuzz(func(t *testing.T, seed int64) {
		var now, old corev1.Pod
		fill := randfill.NewWithSeed(seed).NilChance(0.5).NumElements(0, 3).MaxDepth(12)
		fill.Fill(&now)
		fill.Fill(&old)
		validateUpdate(t.Context(), &now, &old)
		validateStatusUpdate(t.Context(), &now, &old)
		validateEphemeral(&now, &old)
		validateResize(&now, &old)
		cells(&now)
		selectable(&now)
		now.Spec.DNSConfig, now.Spec.HostAliases = nil, nil // addresses are valid when the server asks for warnings
		warn(t.Context(), &now, nil)
		prepareForStatus(t.Context(), now.DeepCopy(), &old)
		prepareResize(t.Context(), now.DeepCopy(), &old)
		prepareForCreate(t.Context(), &now)
	})
}
