package csi

import (
	"context"
	"strings"

	storagev1 "k8s.io/api/storage/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/apiserver"
)

func drivers() apiserver.Kind {
	doc := storagev1.CSIDriverSpec{}.SwaggerDoc()
	flag := func(name, key string) metav1.TableColumnDefinition {
		return metav1.TableColumnDefinition{Name: name, Type: "boolean", Description: doc[key]}
	}
	return apiserver.Define[*storagev1.CSIDriver, *storagev1.CSIDriverList](storagev1.SchemeGroupVersion,
		apiserver.Names{Kind: "CSIDriver", Resource: "csidrivers", Cluster: true},
		apiserver.Rules[*storagev1.CSIDriver]{
			RequireResourceVersion: true,
			Default:                DefaultDriver,
			PrepareForUpdate: func(_ context.Context, d, old *storagev1.CSIDriver) {
				if !apiequality.Semantic.DeepEqual(d.Spec, old.Spec) {
					d.Generation = old.Generation + 1
				}
			},
			Validate:       validateDriver,
			ValidateUpdate: validateDriverUpdate,
			Warnings:       warnDriver,
			Columns: []metav1.TableColumnDefinition{
				table.Name(),
				flag("AttachRequired", "attachRequired"),
				flag("PodInfoOnMount", "podInfoOnMount"),
				flag("StorageCapacity", "storageCapacity"),
				table.Column("TokenRequests", doc["tokenRequests"]),
				flag("RequiresRepublish", "requiresRepublish"),
				table.Column("Modes", doc["volumeLifecycleModes"]),
				table.Age(),
			},
			Cells: driverCells,
			Hook:  returnDeleted,
		})
}

// DefaultDriver fills what the specification of a driver leaves open.
func DefaultDriver(d *storagev1.CSIDriver) {
	s := &d.Spec
	set(&s.AttachRequired, true)
	set(&s.PodInfoOnMount, false)
	set(&s.StorageCapacity, false)
	set(&s.FSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)
	set(&s.RequiresRepublish, false)
	set(&s.SELinuxMount, false)
	set(&s.PreventPodSchedulingIfMissing, false)
	if len(s.VolumeLifecycleModes) == 0 {
		s.VolumeLifecycleModes = []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent}
	}
}

func set[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func validateDriver(_ context.Context, d *storagev1.CSIDriver) field.ErrorList {
	var l check.List
	s, at := &d.Spec, specPath
	needed(&l, at.Child("attachedRequired"), s.AttachRequired) // sic
	needed(&l, at.Child("podInfoOnMount"), s.PodInfoOnMount)
	needed(&l, at.Child("storageCapacity"), s.StorageCapacity)
	check.KnownPtr(&l, at.Child("fsGroupPolicy"), s.FSGroupPolicy,
		storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy, storagev1.FileFSGroupPolicy, storagev1.NoneFSGroupPolicy)
	checkTokens(&l, at.Child("tokenRequests"), s.TokenRequests)
	for _, mode := range s.VolumeLifecycleModes {
		if mode != storagev1.VolumeLifecyclePersistent && mode != storagev1.VolumeLifecycleEphemeral {
			l.Add(field.NotSupported(at.Child("volumeLifecycleModes"), mode,
				[]storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent, storagev1.VolumeLifecycleEphemeral}))
		}
	}
	needed(&l, at.Child("seLinuxMount"), s.SELinuxMount)
	if period := s.NodeAllocatableUpdatePeriodSeconds; period != nil && *period < 10 {
		l.Invalid(at.Child("nodeAllocatableUpdatePeriodSeconds"), *period, "must be greater than or equal to 10 seconds")
	}
	if s.ServiceAccountTokenInSecrets != nil && len(s.TokenRequests) == 0 {
		l.Invalid(at.Child("serviceAccountTokenInSecrets"), s.ServiceAccountTokenInSecrets,
			"serviceAccountTokenInSecrets is set but no tokenRequests are specified")
	}
	needed(&l, at.Child("preventPodSchedulingIfMissing"), s.PreventPodSchedulingIfMissing)
	return l.Errors()
}

func needed(l *check.List, at *field.Path, flag *bool) {
	if flag == nil {
		l.Required(at, "")
	}
}

// checkTokens requires one token for each audience, of ten minutes or more.
func checkTokens(l *check.List, at *field.Path, requests []storagev1.TokenRequest) {
	audiences := sets.Set[string]{}
	for i, r := range requests {
		if audiences.Has(r.Audience) {
			l.Duplicate(at.Index(i).Child("audience"), r.Audience)
			continue
		}
		audiences.Insert(r.Audience)
		if r.ExpirationSeconds == nil {
			continue
		}
		here := at.Index(i).Child("expirationSeconds")
		if *r.ExpirationSeconds < 600 {
			l.Invalid(here, *r.ExpirationSeconds, "may not specify a duration less than 10 minutes")
		}
		if *r.ExpirationSeconds > 1<<32 {
			l.Invalid(here, *r.ExpirationSeconds, "may not specify a duration larger than 2^32 seconds")
		}
	}
}

func validateDriverUpdate(ctx context.Context, d, old *storagev1.CSIDriver) field.ErrorList {
	var l check.List
	l.Add(validateDriver(ctx, d)...)
	l.Immutable(specPath.Child("attachedRequired"), d.Spec.AttachRequired, old.Spec.AttachRequired)
	l.Immutable(specPath.Child("volumeLifecycleModes"), d.Spec.VolumeLifecycleModes, old.Spec.VolumeLifecycleModes)
	return l.Errors()
}

// warnDriver warns of tokens that may come into logs.
func warnDriver(_ context.Context, d, old *storagev1.CSIDriver) []string {
	unchanged := old != nil && apiequality.Semantic.DeepEqual(d.Spec.TokenRequests, old.Spec.TokenRequests)
	if unchanged || len(d.Spec.TokenRequests) == 0 || d.Spec.ServiceAccountTokenInSecrets != nil {
		return nil
	}
	return []string{"spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, " +
		"set to true to prevent possible logging of tokens in volume attributes"}
}

func driverCells(d *storagev1.CSIDriver) []any {
	s := &d.Spec
	tokens := "<unset>"
	if s.TokenRequests != nil {
		var audiences []string
		for _, r := range s.TokenRequests {
			audiences = append(audiences, r.Audience)
		}
		tokens = strings.Join(audiences, ",")
	}
	var modes []string
	for _, mode := range s.VolumeLifecycleModes {
		modes = append(modes, string(mode))
	}
	return []any{
		table.Value(s.AttachRequired), table.Value(s.PodInfoOnMount), table.Value(s.StorageCapacity), tokens,
		table.Value(s.RequiresRepublish), table.Or(strings.Join(modes, ","), "<none>"), table.Since(d.CreationTimestamp),
	}
}
