// Package storageversionmigration is all that the server knows of StorageVersionMigrations: validation, columns, and
// the controller that writes all objects of a resource anew, so that they are stored in the present version and under
// the present key.
package storageversionmigration

import (
	"context"
	"strings"

	migrationv1 "k8s.io/api/storagemigration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	unversioned "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/apiserver"
)

type migration = migrationv1.StorageVersionMigration

// Kind defines StorageVersionMigrations.
func Kind() apiserver.Kind {
	return apiserver.Define[*migration, *migrationv1.StorageVersionMigrationList](migrationv1.SchemeGroupVersion,
		apiserver.Names{Kind: "StorageVersionMigration", Resource: "storageversionmigrations", Cluster: true},
		apiserver.Rules[*migration]{
			NoGeneration: true,
			Validate:     validate,
			ValidateUpdate: func(ctx context.Context, m, old *migration) field.ErrorList {
				l := check.List{}
				l.Add(validate(ctx, m)...)
				l.Immutable(field.NewPath("spec"), m.Spec, old.Spec)
				return l.Errors()
			},
			HasStatus:              true,
			PrepareForStatus:       func(_ context.Context, m, old *migration) { metav1.ResetObjectMetaForStatus(m, old) },
			ValidateStatusUpdate:   validateStatus,
			RequireResourceVersion: true,
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Column("Resource", "GroupResource to migrate"), table.Column("Status", "Status of the migration"),
			},
			Cells: func(m *migration) []any {
				return []any{m.Spec.Resource.String(), state(m)}
			},
		})
}

func validate(_ context.Context, m *migration) field.ErrorList {
	var l check.List
	at, r := field.NewPath("spec", "resource"), m.Spec.Resource
	if r.Resource == "" {
		l.Required(at.Child("resource"), "resource is required to be set")
	} else if wrong := validation.IsDNS1035Label(r.Resource); len(wrong) > 0 {
		l.Invalid(at.Child("resource"), r.Resource, strings.Join(wrong, ","))
	}
	if wrong := validation.IsDNS1123Subdomain(r.Group); r.Group != "" && len(wrong) > 0 {
		l.Invalid(at.Child("group"), r.Group, strings.Join(wrong, ","))
	}
	return l.Errors()
}

func validateStatus(_ context.Context, m, old *migration) field.ErrorList {
	var l check.List
	at := field.NewPath("status")
	version, conditions := at.Child("resourceVersion"), at.Child("conditions")
	now, before := m.Status.ResourceVersion, old.Status.ResourceVersion
	if now != "" {
		if _, err := resourceversion.CompareResourceVersion(now, now); err != nil {
			l.Invalid(version, now, err.Error())
		}
	}
	l.Add(unversioned.ValidateConditions(m.Status.Conditions, conditions)...)
	if before != "" && before != now {
		l.Invalid(version, now, "field is immutable")
	}
	if is(m, migrationv1.MigrationSucceeded) && is(m, migrationv1.MigrationFailed) {
		l.Invalid(conditions, m.Status.Conditions, "Both success and failed conditions cannot be true at the same time")
	}
	if is(old, migrationv1.MigrationSucceeded) && !is(m, migrationv1.MigrationSucceeded) {
		l.Invalid(conditions, m.Status.Conditions, "Success condition cannot be set to false once it is true")
	}
	if is(old, migrationv1.MigrationFailed) && !is(m, migrationv1.MigrationFailed) {
		l.Invalid(conditions, m.Status.Conditions, "Failed condition cannot be set to false once it is true")
	}
	return l.Errors()
}

func is(m *migration, kind migrationv1.MigrationConditionType) bool {
	return meta.IsStatusConditionTrue(m.Status.Conditions, string(kind))
}

// state is the condition that a migration is in.
func state(m *migration) string {
	for _, kind := range []migrationv1.MigrationConditionType{migrationv1.MigrationSucceeded, migrationv1.MigrationFailed, migrationv1.MigrationRunning} {
		if is(m, kind) {
			return string(kind)
		}
	}
	return "Unknown"
}
