package dynamicadmission

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/generic"
	"k8s.io/apiserver/pkg/admission/plugin/policy/matching"
	mutatingpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
)

// mutatingPolicies is the library's plug-in, but for where it learns types: the library's own reads the server's
// OpenAPI documents every five seconds, this one has the types of the server's kinds and reads those of others only.
func (b *builder) mutatingPolicies() (admission.Interface, error) {
	source := func(f informers.SharedInformerFactory, _ kubernetes.Interface, d dynamic.Interface, m meta.RESTMapper) generic.Source[mutatingpolicy.PolicyHook] {
		registered := f.Admissionregistration().V1()
		return generic.NewPolicySource(
			registered.MutatingAdmissionPolicies().Informer(), registered.MutatingAdmissionPolicyBindings().Informer(),
			mutatingpolicy.NewMutatingAdmissionPolicyAccessor, mutatingpolicy.NewMutatingAdmissionPolicyBindingAccessor,
			compile, f, d, m)
	}
	dispatcher := func(a authorizer.UnconditionalAuthorizer, m *matching.Matcher, client kubernetes.Interface) generic.Dispatcher[mutatingpolicy.PolicyHook] {
		return mutatingpolicy.NewDispatcher(a, m, patch.NewTypeConverterManager(b.Types, client.Discovery().OpenAPIV3()))
	}
	handler := admission.NewHandler(admission.Create, admission.Update, admission.Connect)
	return &mutatingpolicy.Plugin{Plugin: generic.NewPlugin(handler, source, dispatcher)}, nil
}

// compile makes a policy's expressions ready to run. What is wrong with them is told when they would run.
func compile(policy *admissionv1.MutatingAdmissionPolicy) mutatingpolicy.PolicyEvaluator {
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		return mutatingpolicy.PolicyEvaluator{Error: &apiservercel.Error{
			Type: apiservercel.ErrorTypeInternal, Detail: "failed to initialize CEL compiler: " + err.Error(),
		}}
	}
	spec := &policy.Spec
	options := cel.OptionalVariableDeclarations{HasParams: spec.ParamKind != nil, HasAuthorizer: true}
	variables := make([]cel.NamedExpressionAccessor, len(spec.Variables))
	for i, v := range spec.Variables {
		variables[i] = &mutatingpolicy.Variable{Name: v.Name, Expression: v.Expression}
	}
	compiler.CompileAndStoreVariables(variables, options, environment.StoredExpressions)
	evaluator := mutatingpolicy.PolicyEvaluator{CompositedCompiler: compiler}
	if len(spec.MatchConditions) > 0 {
		conditions := make([]cel.ExpressionAccessor, len(spec.MatchConditions))
		for i := range spec.MatchConditions {
			conditions[i] = (*matchconditions.MatchCondition)(&spec.MatchConditions[i])
		}
		compiled := compiler.CompileCondition(conditions, options, environment.StoredExpressions)
		evaluator.Matcher = matchconditions.NewMatcher(compiled, spec.FailurePolicy, "policy", "validate", policy.Name)
	}
	options.HasPatchTypes = true
	for _, m := range spec.Mutations {
		switch {
		case m.PatchType == admissionv1.PatchTypeJSONPatch && m.JSONPatch != nil:
			condition := &patch.JSONPatchCondition{Expression: m.JSONPatch.Expression}
			compiled := compiler.CompileMutatingEvaluator(condition, options, environment.StoredExpressions)
			evaluator.Mutators = append(evaluator.Mutators, patch.NewJSONPatcher(compiled))
		case m.PatchType == admissionv1.PatchTypeApplyConfiguration && m.ApplyConfiguration != nil:
			condition := &patch.ApplyConfigurationCondition{Expression: m.ApplyConfiguration.Expression}
			compiled := compiler.CompileMutatingEvaluator(condition, options, environment.StoredExpressions)
			evaluator.Mutators = append(evaluator.Mutators, patch.NewApplyConfigurationPatcher(compiled))
		}
	}
	return evaluator
}
