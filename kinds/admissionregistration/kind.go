// Package admissionregistration is all that the server knows of the objects by which users add admission of their
// own: webhook configurations, policies and their bindings. Running them is the API server's part.
package admissionregistration

import (
	"context"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/table"
	"dhow/apiserver"
)

var group = admissionv1.SchemeGroupVersion

// Kinds are the six kinds of the group.
func Kinds() []apiserver.Kind {
	return []apiserver.Kind{
		apiserver.Define[*admissionv1.ValidatingWebhookConfiguration, *admissionv1.ValidatingWebhookConfigurationList](group,
			names("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"), validatingWebhooks()),
		apiserver.Define[*admissionv1.MutatingWebhookConfiguration, *admissionv1.MutatingWebhookConfigurationList](group,
			names("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"), mutatingWebhooks()),
		apiserver.Define[*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyList](group,
			names("ValidatingAdmissionPolicy", "validatingadmissionpolicies"), validatingPolicies()),
		apiserver.Define[*admissionv1.ValidatingAdmissionPolicyBinding, *admissionv1.ValidatingAdmissionPolicyBindingList](group,
			names("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"), validatingBindings()),
		apiserver.Define[*admissionv1.MutatingAdmissionPolicy, *admissionv1.MutatingAdmissionPolicyList](group,
			names("MutatingAdmissionPolicy", "mutatingadmissionpolicies"), mutatingPolicies()),
		apiserver.Define[*admissionv1.MutatingAdmissionPolicyBinding, *admissionv1.MutatingAdmissionPolicyBindingList](group,
			names("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings"), mutatingBindings()),
	}
}

func names(kind, resource string) apiserver.Names {
	return apiserver.Names{Kind: kind, Resource: resource, Cluster: true, Categories: []string{"api-extensions"}}
}

func validatingWebhooks() apiserver.Rules[*admissionv1.ValidatingWebhookConfiguration] {
	type kind = *admissionv1.ValidatingWebhookConfiguration
	return apiserver.Rules[kind]{
		RequireResourceVersion: true,
		Default:                defaultValidatingWebhooks,
		PrepareForCreate:       func(_ context.Context, c kind) { c.Generation = 1 },
		PrepareForUpdate: func(_ context.Context, c, old kind) {
			c.Generation = generation(old.Generation, c.Webhooks, old.Webhooks)
		},
		Validate: func(_ context.Context, c kind) field.ErrorList { return validateWebhooks(ofValidating(c), nil) },
		ValidateUpdate: func(_ context.Context, c, old kind) field.ErrorList {
			return validateWebhooks(ofValidating(c), ofValidating(old))
		},
		Columns: webhookColumns(),
		Cells:   func(c kind) []any { return []any{int64(len(c.Webhooks)), table.Since(c.CreationTimestamp)} },
	}
}

func mutatingWebhooks() apiserver.Rules[*admissionv1.MutatingWebhookConfiguration] {
	type kind = *admissionv1.MutatingWebhookConfiguration
	return apiserver.Rules[kind]{
		RequireResourceVersion: true,
		Default:                defaultMutatingWebhooks,
		PrepareForCreate:       func(_ context.Context, c kind) { c.Generation = 1 },
		PrepareForUpdate: func(_ context.Context, c, old kind) {
			c.Generation = generation(old.Generation, c.Webhooks, old.Webhooks)
		},
		Validate: func(_ context.Context, c kind) field.ErrorList { return validateWebhooks(ofMutating(c), nil) },
		ValidateUpdate: func(_ context.Context, c, old kind) field.ErrorList {
			return validateWebhooks(ofMutating(c), ofMutating(old))
		},
		Columns: webhookColumns(),
		Cells:   func(c kind) []any { return []any{int64(len(c.Webhooks)), table.Since(c.CreationTimestamp)} },
	}
}

func validatingPolicies() apiserver.Rules[*admissionv1.ValidatingAdmissionPolicy] {
	type kind = *admissionv1.ValidatingAdmissionPolicy
	return apiserver.Rules[kind]{
		RequireResourceVersion: true,
		Default:                func(p kind) { defaultPolicy(&p.Spec.FailurePolicy, p.Spec.MatchConstraints) },
		HasStatus:              true,
		Validate:               func(_ context.Context, p kind) field.ErrorList { return validatePolicy(p, nil) },
		ValidateUpdate: func(_ context.Context, p, old kind) field.ErrorList {
			return validatePolicy(p, old)
		},
		ValidateStatusUpdate: func(_ context.Context, p, _ kind) field.ErrorList { return validateStatus(&p.Status) },
		Columns:              policyColumns("Validations", "Validations indicates the number of validation rules defined in this configuration"),
		Cells: func(p kind) []any {
			return []any{int64(len(p.Spec.Validations)), paramKind(p.Spec.ParamKind), table.Since(p.CreationTimestamp)}
		},
	}
}

func mutatingPolicies() apiserver.Rules[*admissionv1.MutatingAdmissionPolicy] {
	type kind = *admissionv1.MutatingAdmissionPolicy
	return apiserver.Rules[kind]{
		RequireResourceVersion: true,
		Default:                func(p kind) { defaultPolicy(&p.Spec.FailurePolicy, p.Spec.MatchConstraints) },
		PrepareForCreate:       func(_ context.Context, p kind) { p.Generation = 1 },
		PrepareForUpdate:       func(_ context.Context, p, old kind) { p.Generation = generation(old.Generation, p.Spec, old.Spec) },
		Validate:               func(_ context.Context, p kind) field.ErrorList { return validateMutatingPolicy(p, nil) },
		ValidateUpdate: func(_ context.Context, p, old kind) field.ErrorList {
			return validateMutatingPolicy(p, old)
		},
		Columns: policyColumns("Mutations", "Mutation indicates the number of mutations rules defined in this configuration"),
		Cells: func(p kind) []any {
			return []any{int64(len(p.Spec.Mutations)), paramKind(p.Spec.ParamKind), table.Since(p.CreationTimestamp)}
		},
	}
}

func validatingBindings() apiserver.Rules[*admissionv1.ValidatingAdmissionPolicyBinding] {
	type kind = *admissionv1.ValidatingAdmissionPolicyBinding
	return apiserver.Rules[kind]{
		RequireResourceVersion: true,
		Default:                func(b kind) { defaultMatch(b.Spec.MatchResources) },
		PrepareForCreate:       func(_ context.Context, b kind) { b.Generation = 1 },
		PrepareForUpdate:       func(_ context.Context, b, old kind) { b.Generation = generation(old.Generation, b.Spec, old.Spec) },
		Validate:               func(_ context.Context, b kind) field.ErrorList { return validateBinding(b) },
		ValidateUpdate:         func(_ context.Context, b, _ kind) field.ErrorList { return validateBinding(b) },
		Columns:                bindingColumns(),
		Cells: func(b kind) []any {
			return []any{b.Spec.PolicyName, paramRef(b.Spec.ParamRef), table.Since(b.CreationTimestamp)}
		},
	}
}

func mutatingBindings() apiserver.Rules[*admissionv1.MutatingAdmissionPolicyBinding] {
	type kind = *admissionv1.MutatingAdmissionPolicyBinding
	return apiserver.Rules[kind]{
		RequireResourceVersion: true,
		Default:                func(b kind) { defaultMatch(b.Spec.MatchResources) },
		PrepareForCreate:       func(_ context.Context, b kind) { b.Generation = 1 },
		PrepareForUpdate:       func(_ context.Context, b, old kind) { b.Generation = generation(old.Generation, b.Spec, old.Spec) },
		Validate:               func(_ context.Context, b kind) field.ErrorList { return validateMutatingBinding(b) },
		ValidateUpdate:         func(_ context.Context, b, _ kind) field.ErrorList { return validateMutatingBinding(b) },
		Columns:                bindingColumns(),
		Cells: func(b kind) []any {
			return []any{b.Spec.PolicyName, paramRef(b.Spec.ParamRef), table.Since(b.CreationTimestamp)}
		},
	}
}

func webhookColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(), table.Number("Webhooks", "Webhooks indicates the number of webhooks registered in this configuration"), table.Age(),
	}
}

func policyColumns(name, description string) []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(), table.Number(name, description),
		table.Column("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy"), table.Age(),
	}
}

func bindingColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(), table.Column("PolicyName", "PolicyName indicates the policy definition which the policy binding binded to"),
		table.Column("ParamRef", "ParamRef indicates the param resource which sets the configuration param"), table.Age(),
	}
}

const unset = "<unset>"

func paramKind(k *admissionv1.ParamKind) string {
	if k == nil {
		return unset
	}
	return k.APIVersion + "/" + k.Kind
}

func paramRef(r *admissionv1.ParamRef) string {
	switch {
	case r == nil:
		return unset
	case r.Name != "" && r.Namespace != "":
		return r.Namespace + "/" + r.Name
	case r.Name != "":
		return "*/" + r.Name // whether such objects have namespaces is not known here
	case r.Selector != nil:
		return r.Selector.String()
	}
	return unset
}
