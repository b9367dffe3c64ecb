// Package lease is all that the server knows of Leases: validation and what kubectl prints.
package lease

import (
	"context"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/apiserver"
)

// Kind defines Leases.
func Kind() apiserver.Kind {
	return apiserver.Define[*coordinationv1.Lease, *coordinationv1.LeaseList](coordinationv1.SchemeGroupVersion,
		apiserver.Names{Kind: "Lease", Resource: "leases"},
		apiserver.Rules[*coordinationv1.Lease]{
			PrepareForCreate: func(_ context.Context, l *coordinationv1.Lease) { dropElection(l, nil) },
			PrepareForUpdate: dropElectionOnUpdate,
			Validate:         validate,
			ValidateUpdate: func(ctx context.Context, l, _ *coordinationv1.Lease) field.ErrorList {
				return validate(ctx, l)
			},
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Column("Holder", coordinationv1.LeaseSpec{}.SwaggerDoc()["holderIdentity"]), table.Age(),
			},
			Cells: func(l *coordinationv1.Lease) []any {
				return []any{table.Value(l.Spec.HolderIdentity), table.Since(l.CreationTimestamp)}
			},
			AllowCreateOnUpdate:    true,
			RequireResourceVersion: true,
		})
}

// dropElection drops what coordinated leader election adds, which is off in Kubernetes unless asked for, and off here.
func dropElection(l, old *coordinationv1.Lease) {
	if old == nil || old.Spec.Strategy == nil {
		l.Spec.Strategy = nil
	}
	if old == nil || old.Spec.PreferredHolder == nil {
		l.Spec.PreferredHolder = nil
	}
}

func dropElectionOnUpdate(_ context.Context, l, old *coordinationv1.Lease) { dropElection(l, old) }

func validate(_ context.Context, lease *coordinationv1.Lease) field.ErrorList {
	var l check.List
	at, s := field.NewPath("spec"), &lease.Spec
	if seconds := s.LeaseDurationSeconds; seconds != nil && *seconds <= 0 {
		l.Invalid(at.Child("leaseDurationSeconds"), seconds, "must be greater than 0")
	}
	if n := s.LeaseTransitions; n != nil && *n < 0 {
		l.Invalid(at.Child("leaseTransitions"), n, "must be greater than or equal to 0")
	}
	if s.Strategy != nil {
		l.Each(at.Child("strategy"), *s.Strategy, validation.IsQualifiedName(string(*s.Strategy)))
	}
	if table.Value(s.PreferredHolder) != "" && table.Value(s.Strategy) == "" {
		l.Forbidden(at.Child("preferredHolder"), "may only be specified if `strategy` is defined")
	}
	return l.Errors()
}
