package node

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/podspec"
)

// phaseOf sums up a pod's containers in one word (the rules of the kubelet).
func phaseOf(pod *corev1.Pod, o *observed) corev1.PodPhase {
	if phase, decided := initPhase(pod, o); decided {
		return phase
	}
	var running, waiting, stopped, failed int
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		last := o.latest(c.Name)
		switch {
		case last.running():
			running++
		case last.exited() && mustRun(pod, c, last):
			stopped++
			failed++ // it is not over
		case last.exited():
			stopped++
			if last.ExitCode != 0 {
				failed++
			}
		default:
			waiting++
		}
	}
	switch {
	case waiting > 0:
		return corev1.PodPending
	case running > 0 || anyMustRun(pod, o):
		return corev1.PodRunning
	case failed > 0:
		return corev1.PodFailed
	}
	return corev1.PodSucceeded
}

// initPhase is the phase as far as the init containers decide it.
func initPhase(pod *corev1.Pod, o *observed) (phase corev1.PodPhase, decided bool) {
	if (&starter{pod: pod, observed: o}).begun() {
		return "", false
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		last := o.latest(c.Name)
		switch {
		case podspec.IsSidecar(c):
			if !last.running() {
				return corev1.PodPending, true
			}
		case last.exited() && last.ExitCode == 0:
		case last.exited() && !mustRun(pod, c, last):
			return corev1.PodFailed, true
		default:
			return corev1.PodPending, true
		}
	}
	return "", false
}

// anyMustRun: a container has ended and is to be started again.
func anyMustRun(pod *corev1.Pod, o *observed) bool {
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if last := o.latest(c.Name); last.exited() && mustRun(pod, c, last) {
			return true
		}
	}
	return false
}

// conditions says in detail how far the pod is.
func (w *worker) conditions(pod *corev1.Pod, o *observed, s *corev1.PodStatus, initialized bool) {
	containers := readyContainers(pod, s)
	ready := containers
	if ready.Status == corev1.ConditionTrue {
		ready = gates(pod, s)
	}
	ready.Type, containers.Type = corev1.PodReady, corev1.ContainersReady
	for _, c := range []corev1.PodCondition{
		{Type: corev1.PodReadyToStartContainers, Status: conditionOf(o.ready())},
		initializedCondition(pod, s, initialized),
		ready,
		containers,
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
	} {
		c.ObservedGeneration = pod.Generation
		setPodCondition(s, c)
	}
}

func conditionOf(is bool) corev1.ConditionStatus {
	if is {
		return corev1.ConditionTrue
	}
	return corev1.ConditionFalse
}

func initializedCondition(pod *corev1.Pod, s *corev1.PodStatus, initialized bool) corev1.PodCondition {
	c := corev1.PodCondition{Type: corev1.PodInitialized, Status: conditionOf(initialized)}
	if initialized {
		if s.Phase == corev1.PodSucceeded {
			c.Reason = "PodCompleted"
		}
		return c
	}
	var missing []string
	for _, status := range s.InitContainerStatuses {
		if !status.Ready {
			missing = append(missing, status.Name)
		}
	}
	c.Reason, c.Message = "ContainersNotInitialized", fmt.Sprintf("containers with incomplete status: [%s]", strings.Join(missing, " "))
	return c
}

// readyContainers: all app containers and sidecars are ready.
func readyContainers(pod *corev1.Pod, s *corev1.PodStatus) corev1.PodCondition {
	switch s.Phase {
	case corev1.PodSucceeded:
		return corev1.PodCondition{Status: corev1.ConditionFalse, Reason: "PodCompleted"}
	case corev1.PodFailed:
		return corev1.PodCondition{Status: corev1.ConditionFalse, Reason: "PodFailed"}
	}
	var not []string
	for i, status := range s.InitContainerStatuses {
		if podspec.IsSidecar(&pod.Spec.InitContainers[i]) && !status.Ready {
			not = append(not, status.Name)
		}
	}
	for _, status := range s.ContainerStatuses {
		if !status.Ready {
			not = append(not, status.Name)
		}
	}
	if len(not) == 0 {
		return corev1.PodCondition{Status: corev1.ConditionTrue}
	}
	return corev1.PodCondition{
		Status: corev1.ConditionFalse, Reason: "ContainersNotReady", Message: fmt.Sprintf("containers with unready status: [%s]", strings.Join(not, " ")),
	}
}

// gates: others' conditions that the pod must fulfil to be ready.
func gates(pod *corev1.Pod, s *corev1.PodStatus) corev1.PodCondition {
	var not []string
	for _, gate := range pod.Spec.ReadinessGates {
		i := podCondition(s, gate.ConditionType)
		if i < 0 {
			not = append(not, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", gate.ConditionType))
		} else if s.Conditions[i].Status != corev1.ConditionTrue {
			not = append(not, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v", gate.ConditionType, s.Conditions[i].Status))
		}
	}
	if len(not) == 0 {
		return corev1.PodCondition{Status: corev1.ConditionTrue}
	}
	return corev1.PodCondition{Status: corev1.ConditionFalse, Reason: "ReadinessGatesNotReady", Message: strings.Join(not, ", ")}
}

func podCondition(s *corev1.PodStatus, t corev1.PodConditionType) int {
	for i := range s.Conditions {
		if s.Conditions[i].Type == t {
			return i
		}
	}
	return -1
}

// setPodCondition keeps the time of the last transition.
func setPodCondition(s *corev1.PodStatus, c corev1.PodCondition) {
	i := podCondition(s, c.Type)
	if i < 0 {
		c.LastTransitionTime = metav1.Now().Rfc3339Copy()
		s.Conditions = append(s.Conditions, c)
		return
	}
	c.LastTransitionTime = s.Conditions[i].LastTransitionTime
	if s.Conditions[i].Status != c.Status {
		c.LastTransitionTime = metav1.Now().Rfc3339Copy()
	}
	s.Conditions[i] = c
}
