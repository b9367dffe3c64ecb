package podspec

import (
	"encoding/json"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// podDeletionCost is how dear a pod is to its ReplicaSet, as an integer.
const podDeletionCost = "controller.kubernetes.io/pod-deletion-cost"

const tolerationsAnnotation = "scheduler.alpha.kubernetes.io/tolerations"

// ValidateAnnotations checks the annotations that mean something for a pod.
func ValidateAnnotations(annotations map[string]string, spec *corev1.PodSpec, at *field.Path) field.ErrorList {
	var l check.List
	if value, static := annotations[corev1.MirrorPodAnnotationKey]; static && spec.NodeName == "" {
		l.Invalid(at.Key(corev1.MirrorPodAnnotationKey), value, "must set spec.nodeName if mirror pod annotation is set")
	}
	if text := annotations[tolerationsAnnotation]; text != "" {
		var tolerations []corev1.Toleration
		if err := json.Unmarshal([]byte(text), &tolerations); err != nil {
			l.Invalid(at, tolerationsAnnotation, err.Error())
		} else {
			l.Add(ValidateTolerations(tolerations, at.Child(tolerationsAnnotation))...)
		}
	}
	if cost, set := annotations[podDeletionCost]; set && !isCost(cost) {
		l.Invalid(at.Key(podDeletionCost), cost, "must be a 32bit integer")
	}
	for key, profile := range annotations {
		if key == corev1.SeccompPodAnnotationKey || strings.HasPrefix(key, corev1.SeccompContainerAnnotationKeyPrefix) {
			annotatedSeccomp(&l, at.Child(key), profile)
		}
		if name, ok := strings.CutPrefix(key, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix); ok {
			annotatedAppArmor(&l, at.Key(key), name, profile, spec)
		}
	}
	return l.Errors()
}

// isCost accepts integers of 32 bits without a plus sign or leading zeros.
func isCost(s string) bool {
	n, err := strconv.ParseInt(s, 10, 32)
	return err == nil && strconv.FormatInt(n, 10) == s
}

func annotatedSeccomp(l *check.List, at *field.Path, profile string) {
	switch profile {
	case corev1.SeccompProfileRuntimeDefault, corev1.DeprecatedSeccompProfileDockerDefault, corev1.SeccompProfileNameUnconfined:
		return
	}
	if file, local := strings.CutPrefix(profile, corev1.SeccompLocalhostProfileNamePrefix); local {
		l.Descending(at, file)
		return
	}
	l.Invalid(at, profile, "must be a valid seccomp profile")
}

func annotatedAppArmor(l *check.List, at *field.Path, container, profile string, spec *corev1.PodSpec) {
	found := false
	for c := range Containers(spec) {
		found = found || c.Name == container
	}
	if !found {
		l.Invalid(at, container, "container not found")
	}
	if profile != "" && profile != corev1.DeprecatedAppArmorBetaProfileRuntimeDefault &&
		profile != corev1.DeprecatedAppArmorBetaProfileNameUnconfined &&
		!strings.HasPrefix(profile, corev1.DeprecatedAppArmorBetaProfileNamePrefix) {
		l.Invalid(at, profile, "invalid AppArmor profile name: "+strconv.Quote(profile))
	}
}

// ValidateAnnotatedProfiles requires that seccomp and AppArmor profiles in old annotations agree with the fields.
func ValidateAnnotatedProfiles(annotations map[string]string, spec *corev1.PodSpec, at *field.Path) field.ErrorList {
	var l check.List
	if s := spec.SecurityContext; s != nil {
		agreeSeccomp(&l, at.Child("securityContext", "seccompProfile"), annotations, corev1.SeccompPodAnnotationKey, s.SeccompProfile)
	}
	for c := range ContainersAt(spec, at) {
		security := securityOf(c.Container)
		agreeSeccomp(&l, c.At.Child("securityContext", "seccompProfile"), annotations,
			corev1.SeccompContainerAnnotationKeyPrefix+c.Name, security.SeccompProfile)
		armor := security.AppArmorProfile
		if armor == nil && spec.SecurityContext != nil {
			armor = spec.SecurityContext.AppArmorProfile
		}
		agreeAppArmor(&l, c.At.Child("securityContext", "appArmorProfile"), annotations,
			corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+c.Name, armor)
	}
	return l.Errors()
}

func agreeSeccomp(l *check.List, at *field.Path, annotations map[string]string, key string, p *corev1.SeccompProfile) {
	value, set := annotations[key]
	if !set || p == nil {
		return
	}
	agree(l, at, "seccomp", value, string(p.Type), p.LocalhostProfile, []string{"unconfined"}, []string{"runtime/default", "docker/default"})
}

func agreeAppArmor(l *check.List, at *field.Path, annotations map[string]string, key string, p *corev1.AppArmorProfile) {
	value, set := annotations[key]
	if !set || p == nil {
		return
	}
	agree(l, at, "apparmor", value, string(p.Type), p.LocalhostProfile, []string{"unconfined"}, []string{"runtime/default"})
}

// agree compares an annotation with a field of the type Unconfined, RuntimeDefault or Localhost.
func agree(l *check.List, at *field.Path, word, annotation, kind string, file *string, unconfined, runtimeDefault []string) {
	mismatch := func(field, what string) {
		l.Forbidden(at.Child(field), word+" "+what+" in annotation and field must match")
	}
	contains := func(list []string) bool {
		for _, v := range list {
			if v == annotation {
				return true
			}
		}
		return false
	}
	local, isLocal := strings.CutPrefix(annotation, "localhost/")
	switch {
	case kind == "Unconfined" && !contains(unconfined),
		kind == "RuntimeDefault" && !contains(runtimeDefault),
		kind == "Localhost" && !isLocal:
		mismatch("type", "type")
	case kind == "Localhost" && (file == nil || *file != local):
		mismatch("localhostProfile", "profile")
	}
}

// AppArmorFromAnnotation is the profile that an annotation of old stands for, nil when it makes no sense.
func AppArmorFromAnnotation(value string) *corev1.AppArmorProfile {
	switch value {
	case "unconfined":
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
	case "runtime/default":
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}
	}
	if name, local := strings.CutPrefix(value, "localhost/"); local && name != "" && strings.TrimSpace(name) == name {
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost, LocalhostProfile: &name}
	}
	return nil
}
