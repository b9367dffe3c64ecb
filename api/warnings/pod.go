// Package warnings finds what is legal in an object but likely not what its author wants: kubectl prints it as
// "Warning: …".
package warnings

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/podspec"
)

// list collects warnings about what is at a path.
type list []string

func (l *list) add(at *field.Path, format string, args ...any) {
	*l = append(*l, at.String()+": "+fmt.Sprintf(format, args...))
}

// Pod returns the warnings about a pod.
func Pod(pod *corev1.Pod) []string {
	var l list
	if wrong := validation.IsDNS1123Label(pod.Name); pod.Name != "" && len(wrong) > 0 {
		l.add(field.NewPath("metadata", "name"), "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: %v", wrong)
	}
	l.spec(field.NewPath("spec"), &pod.Spec)
	l.annotations(field.NewPath("metadata", "annotations"), &pod.ObjectMeta, &pod.Spec)
	return l
}

// Template returns the warnings about the pod template of a workload at a path.
func Template(template *corev1.PodTemplateSpec, at *field.Path) []string {
	var l list
	l.spec(at.Child("spec"), &template.Spec)
	l.annotations(at.Child("metadata", "annotations"), &template.ObjectMeta, &template.Spec)
	for c := range podspec.ContainersAt(&template.Spec, at.Child("spec")) {
		key := corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix + c.Name
		if _, set := template.Annotations[key]; set && (c.SecurityContext == nil || c.SecurityContext.AppArmorProfile == nil) {
			l.add(at.Child("metadata", "annotations").Key(key), `deprecated since v1.30; use the "appArmorProfile" field instead`)
		}
	}
	return l
}

func (l *list) spec(at *field.Path, s *corev1.PodSpec) {
	l.scheduling(at, s)
	for i := range s.Volumes {
		l.volume(at.Child("volumes").Index(i), &s.Volumes[i])
	}
	l.overlaps(s.Volumes)
	l.duplicates(at, s)
	l.fractions(at.Child("overhead"), s.Overhead)
	for c := range podspec.ContainersAt(s, at) {
		l.fractions(c.At.Child("resources", "limits"), c.Resources.Limits)
		l.fractions(c.At.Child("resources", "requests"), c.Resources.Requests)
		l.hiddenVariables(c.At.Child("env"), c.Env)
	}
	l.ports(at, s)
	if grace := s.TerminationGracePeriodSeconds; grace != nil && *grace < 0 {
		l.add(at.Child("terminationGracePeriodSeconds"), "must be >= 0; negative values are invalid and will be treated as 1")
	}
	if s.DNSConfig != nil {
		for i, ns := range s.DNSConfig.Nameservers {
			*l = append(*l, validation.GetWarningsForIP(at.Child("dnsConfig", "nameservers").Index(i), ns)...)
		}
	}
	for i, alias := range s.HostAliases {
		*l = append(*l, validation.GetWarningsForIP(at.Child("hostAliases").Index(i).Child("ip"), alias.IP)...)
	}
}

var uselessAnnotations = []struct{ key, use string }{
	{"scheduler.alpha.kubernetes.io/critical-pod", `non-functional in v1.16+; use the "priorityClassName" field instead`},
	{"security.alpha.kubernetes.io/sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
	{"security.alpha.kubernetes.io/unsafe-sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
}

func (l *list) annotations(at *field.Path, meta *metav1.ObjectMeta, s *corev1.PodSpec) {
	for _, u := range uselessAnnotations {
		if _, set := meta.Annotations[u.key]; set {
			l.add(at.Key(u.key), "%s", u.use)
		}
	}
	const seccomp = `non-functional in v1.27+; use the "seccompProfile" field instead`
	if _, set := meta.Annotations[corev1.SeccompPodAnnotationKey]; set && (s.SecurityContext == nil || s.SecurityContext.SeccompProfile == nil) {
		l.add(at.Key(corev1.SeccompPodAnnotationKey), seccomp)
	}
	for c := range podspec.Containers(s) {
		key := corev1.SeccompContainerAnnotationKeyPrefix + c.Name
		if _, set := meta.Annotations[key]; set && (c.SecurityContext == nil || c.SecurityContext.SeccompProfile == nil) {
			l.add(at.Key(key), seccomp)
		}
	}
}

// oldLabels are labels of nodes that went, and what to use instead.
var oldLabels = map[string]string{
	"beta.kubernetes.io/arch":                  `deprecated since v1.14; use "kubernetes.io/arch" instead`,
	"beta.kubernetes.io/os":                    `deprecated since v1.14; use "kubernetes.io/os" instead`,
	"failure-domain.beta.kubernetes.io/region": `deprecated since v1.17; use "topology.kubernetes.io/region" instead`,
	"failure-domain.beta.kubernetes.io/zone":   `deprecated since v1.17; use "topology.kubernetes.io/zone" instead`,
	"beta.kubernetes.io/instance-type":         `deprecated since v1.17; use "node.kubernetes.io/instance-type" instead`,

	"app.kubernetes.io/created-by":                  `deprecated since v1.9`,
	"scheduler.alpha.kubernetes.io/preferAvoidPods": `deprecated since v1.22; use Taints and Tolerations instead`,
	"node-role.kubernetes.io/master":                `use "node-role.kubernetes.io/control-plane" instead`,
}

func (l *list) scheduling(at *field.Path, s *corev1.PodSpec) {
	for _, key := range sets.List(sets.KeySet(s.NodeSelector)) {
		if use, old := oldLabels[key]; old {
			l.add(at.Child("nodeSelector").Key(key), "%s", use)
		}
	}
	for i, c := range s.TopologySpreadConstraints {
		here := at.Child("topologySpreadConstraints").Index(i)
		if use, old := oldLabels[c.TopologyKey]; old {
			l.add(here.Child("topologyKey"), "%s is %s", c.TopologyKey, use)
		}
		l.matchesNothing(here, c.LabelSelector)
	}
	if s.Affinity == nil {
		return
	}
	if a := s.Affinity.NodeAffinity; a != nil {
		l.nodeAffinity(at.Child("affinity", "nodeAffinity"), a)
	}
	if a := s.Affinity.PodAffinity; a != nil {
		l.podTerms(at.Child("affinity", "podAffinity"), a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if a := s.Affinity.PodAntiAffinity; a != nil {
		l.podTerms(at.Child("affinity", "podAntiAffinity"), a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
}

func (l *list) matchesNothing(at *field.Path, selector *metav1.LabelSelector) {
	if selector == nil {
		l.add(at.Child("labelSelector"), "a null labelSelector results in matching no pod")
	}
}

func (l *list) podTerms(at *field.Path, required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
	for i := range required {
		l.matchesNothing(at.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i), required[i].LabelSelector)
	}
	for i := range preferred {
		here := at.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("podAffinityTerm")
		l.matchesNothing(here, preferred[i].PodAffinityTerm.LabelSelector)
	}
}

func (l *list) nodeAffinity(at *field.Path, a *corev1.NodeAffinity) {
	term := func(at *field.Path, t *corev1.NodeSelectorTerm) {
		*l = append(*l, NodeSelectorTerm(at, t)...)
	}
	if r := a.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
		for i := range r.NodeSelectorTerms {
			term(at.Child("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms").Index(i), &r.NodeSelectorTerms[i])
		}
	}
	for i := range a.PreferredDuringSchedulingIgnoredDuringExecution {
		here := at.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("preference")
		term(here, &a.PreferredDuringSchedulingIgnoredDuringExecution[i].Preference)
	}
}

func (l *list) duplicates(at *field.Path, s *corev1.PodSpec) {
	ips := sets.Set[string]{}
	for i, alias := range s.HostAliases {
		if ips.Has(alias.IP) {
			l.add(at.Child("hostAliases").Index(i).Child("ip"), "duplicate ip %q", alias.IP)
		}
		ips.Insert(alias.IP)
	}
	names := sets.Set[string]{}
	for i, ref := range s.ImagePullSecrets {
		here := at.Child("imagePullSecrets").Index(i).Child("name")
		if names.Has(ref.Name) {
			l.add(here, "duplicate name %q", ref.Name)
		}
		if ref.Name == "" {
			l.add(here, `invalid empty name ""`)
		}
		names.Insert(ref.Name)
	}
}

func (l *list) fractions(at *field.Path, amounts corev1.ResourceList) {
	for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		if amount, set := amounts[name]; set && amount.MilliValue()%1000 != 0 {
			l.add(at.Key(string(name)), "fractional byte value %q is invalid, must be an integer", amount.String())
		}
	}
}

// hiddenVariables: a second definition of a variable is fine when it extends the first.
func (l *list) hiddenVariables(at *field.Path, env []corev1.EnvVar) {
	seen := sets.Set[string]{}
	for i, v := range env {
		ref := "$(" + v.Name + ")"
		if seen.Has(v.Name) && (v.ValueFrom != nil || v.Value == ref || !strings.Contains(v.Value, ref)) {
			l.add(at.Index(i), "hides previous definition of %q, which may be dropped when using apply", v.Name)
		}
		seen.Insert(v.Name)
	}
}

// ports finds ports that other ports of the pod repeat or shadow.
func (l *list) ports(at *field.Path, s *corev1.PodSpec) {
	type placed struct {
		at   *field.Path
		port corev1.ContainerPort
	}
	same, names := map[string][]placed{}, map[string]*field.Path{}
	for c := range podspec.ContainersAt(s, at) {
		for i, p := range c.Ports {
			here := c.At.Child("ports").Index(i)
			if p.HostIP != "" && p.HostPort == 0 {
				l.add(here, "hostIP set without hostPort: %+v", p)
			}
			key := fmt.Sprintf("%d/%s", p.ContainerPort, p.Protocol)
			for _, o := range same[key] {
				switch {
				case p.HostIP == o.port.HostIP && p.HostPort == o.port.HostPort:
					l.add(here, "duplicate port definition with %s", o.at)
				case p.HostPort == 0 || o.port.HostPort == 0:
					l.add(here, "overlapping port definition with %s", o.at)
				case p.HostPort == o.port.HostPort && (p.HostIP == "") != (o.port.HostIP == ""):
					l.add(here, "dangerously ambiguous port definition with %s", o.at)
				}
			}
			same[key] = append(same[key], placed{here, p})
			if p.Name == "" {
				continue
			}
			if other, taken := names[p.Name]; taken {
				l.add(here, "duplicate port name %q with %s, services and probes that select ports by name will use %s", p.Name, other, other)
			} else {
				names[p.Name] = here
			}
		}
	}
}
