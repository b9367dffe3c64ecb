package podspec

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

func (c *checker) containers(at *field.Path) {
	all := c.spec.Containers
	if len(all) == 0 {
		c.Required(at, "")
		return
	}
	names := sets.Set[string]{}
	for i := range all {
		ctr, here := &all[i], at.Index(i)
		c.container(here, ctr)
		c.unique(here, names, ctr.Name)
		c.hooksAndProbes(here, ctr)
		c.restartRules(here, ctr)
	}
	c.hostPortConflicts(at, all)
}

// unique requires that no container before had the name.
func (c *checker) unique(at *field.Path, names sets.Set[string], name string) {
	if names.Has(name) {
		c.Duplicate(at.Child("name"), name)
	}
	names.Insert(name)
}

func (c *checker) initContainers(at *field.Path) {
	names := sets.Set[string]{}
	for i := range c.spec.Containers {
		names.Insert(c.spec.Containers[i].Name)
	}
	for i := range c.spec.InitContainers {
		ctr, here := &c.spec.InitContainers[i], at.Index(i)
		c.container(here, ctr)
		c.restartRules(here, ctr)
		if ctr.Name != "" {
			c.unique(here, names, ctr.Name)
		}
		c.hostPortConflicts(at, c.spec.InitContainers[i:i+1])
		if IsSidecar(ctr) {
			c.hooksAndProbes(here, ctr)
		} else {
			c.noHooksOrProbes(here, ctr)
		}
	}
}

// noHooksOrProbes holds for init containers that end.
func (c *checker) noHooksOrProbes(at *field.Path, ctr *corev1.Container) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"lifecycle", ctr.Lifecycle != nil}, {"livenessProbe", ctr.LivenessProbe != nil},
		{"readinessProbe", ctr.ReadinessProbe != nil}, {"startupProbe", ctr.StartupProbe != nil},
	} {
		if f.set {
			c.Forbidden(at.Child(f.name), "may not be set for init containers without restartPolicy=Always")
		}
	}
	for i, p := range ctr.ResizePolicy {
		if p.RestartPolicy == corev1.RestartContainer {
			c.Invalid(at.Child("resizePolicy").Index(i).Child("restartPolicy"), p.RestartPolicy,
				"must not be set to 'RestartContainer' for non-sidecar initContainers")
		}
	}
}

// ephemeralFields are what a debugging container may have.
var ephemeralFields = []string{
	"Name", "Image", "Command", "Args", "WorkingDir", "EnvFrom", "Env", "VolumeMounts", "VolumeDevices",
	"TerminationMessagePath", "TerminationMessagePolicy", "ImagePullPolicy", "SecurityContext", "Stdin",
	"StdinOnce", "TTY",
}

func (c *checker) ephemeralContainers(at *field.Path) {
	others, names := sets.Set[string]{}, sets.Set[string]{}
	for _, list := range [][]corev1.Container{c.spec.Containers, c.spec.InitContainers} {
		for i := range list {
			others.Insert(list[i].Name)
			names.Insert(list[i].Name)
		}
	}
	for i := range c.spec.EphemeralContainers {
		e, here := &c.spec.EphemeralContainers[i], at.Index(i)
		ctr := (*corev1.Container)(&e.EphemeralContainerCommon)
		c.container(here, ctr)
		c.unpaddedImage(here, ctr.Image)
		c.unique(here, names, e.Name)
		if e.TargetContainerName != "" && !others.Has(e.TargetContainerName) {
			c.NotFound(here.Child("targetContainerName"), e.TargetContainerName)
		}
		c.onlyFields(here, &e.EphemeralContainerCommon)
		for j, m := range e.VolumeMounts {
			mount := here.Child("volumeMounts").Index(j)
			if m.SubPath != "" {
				c.Forbidden(mount.Child("subPath"), "cannot be set for an Ephemeral Container")
			}
			if m.SubPathExpr != "" {
				c.Forbidden(mount.Child("subPathExpr"), "cannot be set for an Ephemeral Container")
			}
		}
	}
}

func (c *checker) onlyFields(at *field.Path, common *corev1.EphemeralContainerCommon) {
	v := reflect.ValueOf(common).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !slices.Contains(ephemeralFields, f.Name) && !v.Field(i).IsZero() {
			c.Forbidden(at.Child(check.JSONName(f)), "cannot be set for an Ephemeral Container")
		}
	}
}

func (c *checker) unpaddedImage(at *field.Path, image string) {
	if image != strings.TrimSpace(image) {
		c.Invalid(at.Child("image"), image, "must not have leading or trailing whitespace")
	}
}

// container checks what every kind of container has.
func (c *checker) container(at *field.Path, ctr *corev1.Container) {
	if c.NonEmpty(at.Child("name"), ctr.Name) {
		c.Label(at.Child("name"), ctr.Name)
	}
	c.NonEmpty(at.Child("image"), ctr.Image)
	check.Listed(&c.List, at.Child("terminationMessagePolicy"), ctr.TerminationMessagePolicy,
		corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)
	c.ports(at.Child("ports"), ctr.Ports)
	c.env(at.Child("env"), ctr.Env)
	c.envFrom(at.Child("envFrom"), ctr.EnvFrom)
	c.mounts(at.Child("volumeMounts"), ctr)
	c.devices(at.Child("volumeDevices"), ctr)
	check.OneOf(&c.List, at.Child("imagePullPolicy"), ctr.ImagePullPolicy, check.PullPolicies...)
	c.containerResources(at.Child("resources"), &ctr.Resources)
	c.resizePolicy(at.Child("resizePolicy"), ctr.ResizePolicy)
	c.containerSecurity(at.Child("securityContext"), ctr.SecurityContext)
}

func (c *checker) ports(at *field.Path, ports []corev1.ContainerPort) {
	names := sets.Set[string]{}
	for i, p := range ports {
		here := at.Index(i)
		if p.Name != "" {
			if wrong := validation.IsValidPortName(p.Name); len(wrong) > 0 {
				c.Each(here.Child("name"), p.Name, wrong)
			} else {
				c.unique(here, names, p.Name)
			}
		}
		if p.ContainerPort == 0 {
			c.Required(here.Child("containerPort"), "")
		} else {
			c.PortNumber(here.Child("containerPort"), p.ContainerPort)
		}
		if p.HostPort != 0 {
			c.PortNumber(here.Child("hostPort"), p.HostPort)
		}
		check.OneOf(&c.List, here.Child("protocol"), p.Protocol, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
	}
}

// hostPortConflicts requires that no two ports of containers are the same port of the host.
func (c *checker) hostPortConflicts(at *field.Path, containers []corev1.Container) {
	taken := sets.Set[string]{}
	for i := range containers {
		for j, p := range containers[i].Ports {
			if p.HostPort == 0 {
				continue
			}
			port := fmt.Sprintf("%s/%s/%d", p.Protocol, p.HostIP, p.HostPort)
			if taken.Has(port) {
				c.Duplicate(at.Index(i).Child("ports").Index(j).Child("hostPort"), port)
			}
			taken.Insert(port)
		}
	}
}

func (c *checker) resizePolicy(at *field.Path, policies []corev1.ContainerResizePolicy) {
	seen := sets.Set[corev1.ResourceName]{}
	for i, p := range policies {
		if seen.Has(p.ResourceName) {
			c.Duplicate(at.Index(i), p.ResourceName)
		}
		seen.Insert(p.ResourceName)
		check.OneOf(&c.List, at, p.ResourceName, corev1.ResourceCPU, corev1.ResourceMemory)
		check.OneOf(&c.List, at, p.RestartPolicy, corev1.NotRequired, corev1.RestartContainer)
		if c.spec.RestartPolicy == corev1.RestartPolicyNever && p.RestartPolicy != corev1.NotRequired {
			c.Invalid(at, p.RestartPolicy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'")
		}
	}
}

// restartRules checks a container's own restart policy.
func (c *checker) restartRules(at *field.Path, ctr *corev1.Container) {
	if ctr.RestartPolicy == nil {
		if len(ctr.RestartPolicyRules) > 0 {
			c.Required(at.Child("restartPolicy"), "must specify restartPolicy when restart rules are used")
		}
	} else {
		check.Known(&c.List, at.Child("restartPolicy"), *ctr.RestartPolicy, corev1.ContainerRestartPolicyAlways,
			corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure)
	}
	rules := at.Child("restartPolicyRules")
	if len(ctr.RestartPolicyRules) > 20 {
		c.Add(field.TooMany(rules, len(ctr.RestartPolicyRules), 20))
	}
	for i, rule := range ctr.RestartPolicyRules {
		here := rules.Index(i)
		check.Known(&c.List, here.Child("action"), rule.Action,
			corev1.ContainerRestartRuleActionRestart, corev1.ContainerRestartRuleActionRestartAllContainers)
		if rule.ExitCodes == nil {
			c.Required(here.Child("exitCodes"), "must be specified")
			continue
		}
		codes := here.Child("exitCodes")
		check.Known(&c.List, codes.Child("operator"), rule.ExitCodes.Operator,
			corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn)
		if len(rule.ExitCodes.Values) > 255 {
			c.Add(field.TooMany(codes.Child("values"), len(rule.ExitCodes.Values), 255))
		}
	}
}
