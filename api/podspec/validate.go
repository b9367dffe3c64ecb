package podspec

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/volumespec"
)

// checker checks one specification of a pod.
type checker struct {
	check.List
	spec    *corev1.PodSpec
	meta    *metav1.ObjectMeta // nil for a template
	volumes map[string]corev1.VolumeSource
	claims  sets.Set[string]
}

// Validate checks the specification of a pod with the metadata meta, or of a template when meta is nil.
func Validate(spec *corev1.PodSpec, meta *metav1.ObjectMeta, at *field.Path) field.ErrorList {
	c := checker{spec: spec, meta: meta, claims: sets.Set[string]{}}
	c.volumes = volumespec.Validate(&c.List, at.Child("volumes"), spec.Volumes, meta)
	c.resourceClaims(at.Child("resourceClaims"))
	c.containers(at.Child("containers"))
	c.initContainers(at.Child("initContainers"))
	c.ephemeralContainers(at.Child("ephemeralContainers"))
	c.podResources(at)
	c.lifetime(at)
	c.network(at)
	c.podSecurity(at, at.Child("securityContext"))
	c.scheduling(at)
	c.references(at)
	c.operatingSystem(at)
	c.fileKeyRefs(at)
	return c.Errors()
}

// ValidateTemplate checks the pod template of a workload.
func ValidateTemplate(template *corev1.PodTemplateSpec, at *field.Path) field.ErrorList {
	var l check.List
	l.Labels(at.Child("labels"), template.Labels)
	l.Annotations(at.Child("annotations"), template.Annotations)
	l.Add(ValidateAnnotations(template.Annotations, &template.Spec, at.Child("annotations"))...)
	l.Add(Validate(&template.Spec, nil, at.Child("spec"))...)
	if len(template.Spec.EphemeralContainers) > 0 {
		l.Forbidden(at.Child("spec", "ephemeralContainers"), "ephemeral containers not allowed in pod template")
	}
	l.Add(ValidateAnnotatedProfiles(template.Annotations, &template.Spec, at.Child("spec"))...)
	return l.Errors()
}

// lifetime checks how long the pod lives and when it restarts.
func (c *checker) lifetime(at *field.Path) {
	s := c.spec
	if s.TerminationGracePeriodSeconds == nil {
		c.Required(at.Child("terminationGracePeriodSeconds"), "")
	}
	check.Listed(&c.List, at.Child("restartPolicy"), s.RestartPolicy,
		corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)
	if s.ActiveDeadlineSeconds != nil {
		if v := *s.ActiveDeadlineSeconds; v < 1 || v > math.MaxInt32 {
			c.Invalid(at.Child("activeDeadlineSeconds"), v, validation.InclusiveRangeError(1, math.MaxInt32))
		}
	}
	for i, gate := range s.ReadinessGates {
		c.Qualified(at.Child("readinessGates").Index(i).Child("conditionType"), string(gate.ConditionType))
	}
}

// references checks the names of other objects.
func (c *checker) references(at *field.Path) {
	s := c.spec
	c.subdomainOr(at.Child("serviceAccountName"), s.ServiceAccountName)
	c.subdomainOr(at.Child("nodeName"), s.NodeName)
	c.subdomainOr(at.Child("priorityClassName"), s.PriorityClassName)
	if s.RuntimeClassName != nil {
		c.Each(at.Child("runtimeClassName"), *s.RuntimeClassName, apivalidation.NameIsDNSSubdomain(*s.RuntimeClassName, false))
	}
	if g := s.SchedulingGroup; g != nil {
		path := at.Child("schedulingGroup", "podGroupName")
		if g.PodGroupName == nil {
			c.Invalid(path, g.PodGroupName, "must specify one of: `podGroupName`")
		} else {
			c.Subdomain(path, *g.PodGroupName)
		}
	}
}

func (c *checker) subdomainOr(at *field.Path, name string) {
	if name != "" {
		c.Subdomain(at, name)
	}
}

// resourceClaims checks the claims of devices that the pod makes, and notes their names.
func (c *checker) resourceClaims(at *field.Path) {
	if c.meta != nil && len(c.spec.ResourceClaims) > 0 {
		if _, static := c.meta.Annotations[corev1.MirrorPodAnnotationKey]; static {
			c.Forbidden(field.NewPath(""), "static pods do not support resource claims")
			return
		}
	}
	for i, claim := range c.spec.ResourceClaims {
		here := at.Index(i)
		if c.NonEmpty(here.Child("name"), claim.Name) {
			if c.claims.Has(claim.Name) {
				c.Duplicate(here.Child("name"), claim.Name)
			} else {
				c.Label(here.Child("name"), claim.Name)
			}
			c.claims.Insert(claim.Name)
		}
		name, template := claim.ResourceClaimName, claim.ResourceClaimTemplateName
		if name != nil && template != nil {
			c.Invalid(here, claim, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified")
		}
		if name == nil && template == nil {
			c.Invalid(here, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")
		}
		if name != nil {
			c.Subdomain(here.Child("resourceClaimName"), *name)
		}
		if template != nil {
			c.Subdomain(here.Child("resourceClaimTemplateName"), *template)
		}
	}
}
