package admissionregistration

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validate/content"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/util/jsonpath"

	"dhow/api/check"
)

// Bounds of a policy's audit annotations, upstream's.
const (
	maxAnnotations          = 20
	maxAnnotationExpression = 5 << 10
)

var spec = field.NewPath("spec")

func validatePolicy(p, old *admissionv1.ValidatingAdmissionPolicy) field.ErrorList {
	var l check.List
	s := &p.Spec
	stored := sets.Set[string]{}
	unchanged := false
	if old != nil {
		stored = storedExpressions(&old.Spec)
		unchanged = apiequality.Semantic.DeepEqual(s.MatchConditions, old.Spec.MatchConditions) && apiequality.Semantic.DeepEqual(s.ParamKind, old.Spec.ParamKind)
	}
	e := newExpressions(s.ParamKind != nil, stored)
	checkPolicy(&l, s.FailurePolicy, s.ParamKind, s.MatchConstraints)
	if !unchanged {
		checkConditions(&l, spec.Child("matchConditions"), s.MatchConditions, e)
	}
	checkVariables(&l, s.Variables, e)
	if len(s.Validations) == 0 && len(s.AuditAnnotations) == 0 {
		const either = "validations or auditAnnotations must contain at least one item"
		l.Required(spec.Child("validations"), either)
		l.Required(spec.Child("auditAnnotations"), either)
	}
	for i := range s.Validations {
		checkValidation(&l, spec.Child("validations").Index(i), &s.Validations[i], e)
	}
	checkAnnotations(&l, spec.Child("auditAnnotations"), p.Name, s.AuditAnnotations, e)
	return l.Errors()
}

func storedExpressions(s *admissionv1.ValidatingAdmissionPolicySpec) sets.Set[string] {
	stored := sets.Set[string]{}
	for _, c := range s.MatchConditions {
		stored.Insert(c.Expression)
	}
	for _, v := range s.Variables {
		stored.Insert(v.Expression)
	}
	for _, v := range s.Validations {
		stored.Insert(v.Expression, v.MessageExpression)
	}
	for _, a := range s.AuditAnnotations {
		stored.Insert(a.ValueExpression)
	}
	return stored
}

// checkPolicy checks what policies of both kinds have.
func checkPolicy(l *check.List, failure *admissionv1.FailurePolicyType, kind *admissionv1.ParamKind, match *admissionv1.MatchResources) {
	requireKnown(l, spec.Child("failurePolicy"), failure, admissionv1.Ignore, admissionv1.Fail)
	if kind != nil {
		checkParamKind(l, spec.Child("paramKind"), kind)
	}
	at := spec.Child("matchConstraints")
	if match == nil {
		l.Required(at, "")
		return
	}
	checkMatch(l, at, match)
	if len(match.ResourceRules) == 0 {
		l.Required(at.Child("resourceRules"), "")
	}
}

func checkParamKind(l *check.List, at *field.Path, k *admissionv1.ParamKind) {
	version := at.Child("apiVersion")
	if gv, err := schema.ParseGroupVersion(k.APIVersion); k.APIVersion == "" {
		l.Required(version, "")
	} else if err != nil {
		l.Invalid(version, k.APIVersion, err.Error())
	} else {
		if wrong := validation.IsDNS1123Subdomain(gv.Group); gv.Group != "" && len(wrong) > 0 {
			l.Invalid(version, gv.Group, strings.Join(wrong, ","))
		}
		if gv.Version == "" {
			l.Invalid(version, k.APIVersion, "version must be specified")
		} else if wrong := validation.IsDNS1035Label(gv.Version); len(wrong) > 0 {
			l.Invalid(version, gv.Version, strings.Join(wrong, ","))
		}
	}
	if k.Kind == "" {
		l.Required(at.Child("kind"), "")
	} else if wrong := validation.IsDNS1035Label(strings.ToLower(k.Kind)); len(wrong) > 0 {
		l.Invalid(at.Child("kind"), k.Kind, "may have mixed case, but should otherwise match: "+strings.Join(wrong, ","))
	}
}

var (
	identifier = regexp.MustCompile(`^[_a-zA-Z][_a-zA-Z0-9]*$`)
	// reserved words of CEL.
	reserved = sets.New("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if",
		"import", "let", "loop", "package", "namespace", "return", "var", "void", "while")
	newline = regexp.MustCompile(`[\n\r]`)
)

func checkVariables(l *check.List, variables []admissionv1.Variable, e *expressions) {
	for i := range variables {
		v, at := &variables[i], spec.Child("variables").Index(i)
		switch {
		case strings.TrimSpace(v.Name) == "":
			l.Required(at.Child("name"), "name is not specified")
		case !identifier.MatchString(v.Name) || reserved.Has(v.Name):
			l.Invalid(at.Child("name"), v.Name, "must be a valid CEL identifier")
		}
		if strings.TrimSpace(v.Expression) == "" {
			l.Required(at.Child("expression"), "expression is not specified")
			continue
		}
		e.variable(l, at.Child("expression"), v)
	}
}

func checkValidation(l *check.List, at *field.Path, v *admissionv1.Validation, e *expressions) {
	if strings.TrimSpace(v.Expression) == "" {
		l.Required(at.Child("expression"), "expression is not specified")
	} else {
		e.validation(l, at.Child("expression"), v.Expression)
	}
	const nonEmpty = "must be non-empty if specified"
	if strings.TrimSpace(v.MessageExpression) != "" {
		e.message(l, at.Child("messageExpression"), v.MessageExpression)
	} else if v.MessageExpression != "" {
		l.Invalid(at.Child("messageExpression"), v.MessageExpression, nonEmpty)
	}
	switch message := strings.TrimSpace(v.Message); {
	case v.Message != "" && message == "":
		l.Invalid(at.Child("message"), v.Message, nonEmpty)
	case newline.MatchString(message):
		l.Invalid(at.Child("message"), v.Message, "must not contain line breaks")
	}
	check.KnownPtr(l, at.Child("reason"), v.Reason, metav1.StatusReasonForbidden, metav1.StatusReasonInvalid, metav1.StatusReasonRequestEntityTooLarge)
}

func checkAnnotations(l *check.List, at *field.Path, policy string, annotations []admissionv1.AuditAnnotation, e *expressions) {
	if len(annotations) > maxAnnotations {
		l.Invalid(at, annotations, fmt.Sprintf("must not have more than %d auditAnnotations", maxAnnotations))
	}
	seen := sets.Set[string]{}
	for i, a := range annotations {
		key, value := at.Index(i).Child("key"), at.Index(i).Child("valueExpression")
		if policy == "" {
			l.Invalid(key, a.Key, "requires metadata.name be non-empty")
		} else {
			l.Qualified(key, policy+"/"+a.Key)
		}
		switch expression := strings.TrimSpace(a.ValueExpression); {
		case expression == "":
			l.Required(value, "valueExpression is not specified")
		case len(expression) > maxAnnotationExpression:
			l.Required(value, fmt.Sprintf("must not exceed %d bytes in length", maxAnnotationExpression))
		default:
			e.annotation(l, value, expression)
		}
		if seen.Has(a.Key) {
			l.Duplicate(key, a.Key)
		}
		seen.Insert(a.Key)
	}
}

func validateStatus(s *admissionv1.ValidatingAdmissionPolicyStatus) field.ErrorList {
	var l check.List
	at := field.NewPath("status")
	if s.TypeChecking != nil {
		for i, w := range s.TypeChecking.ExpressionWarnings {
			here := at.Child("typeChecking", "expressionWarnings").Index(i)
			if w.Warning == "" {
				l.Required(here.Child("warning"), "")
			}
			ref := strings.TrimSpace(w.FieldRef)
			if ref == "" {
				l.Required(here.Child("fieldRef"), "")
			} else if err := jsonpath.New("spec").Parse("{" + ref + "}"); err != nil {
				l.Invalid(here.Child("fieldRef"), ref, fmt.Sprintf("invalid JSONPath: %v", err))
			}
		}
	}
	l.Add(metav1validation.ValidateConditions(s.Conditions, at.Child("conditions"))...)
	return l.Errors()
}

func validateBinding(b *admissionv1.ValidatingAdmissionPolicyBinding) field.ErrorList {
	var l check.List
	checkBinding(&l, b.Spec.PolicyName, b.Spec.ParamRef, b.Spec.MatchResources)
	at := spec.Child("validationActions")
	seen := sets.Set[admissionv1.ValidationAction]{}
	for i, action := range b.Spec.ValidationActions {
		check.Known(&l, at.Index(i), action, admissionv1.Deny, admissionv1.Warn, admissionv1.Audit)
		if seen.Has(action) {
			l.Duplicate(at.Index(i), action)
		}
		seen.Insert(action)
	}
	if seen.HasAll(admissionv1.Deny, admissionv1.Warn) {
		l.Invalid(at, b.Spec.ValidationActions, "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)")
	}
	if len(seen) == 0 {
		l.Required(at, "at least one validation action is required")
	}
	return l.Errors()
}

func checkBinding(l *check.List, policy string, ref *admissionv1.ParamRef, match *admissionv1.MatchResources) {
	if policy == "" {
		l.Required(spec.Child("policyName"), "")
	} else {
		l.Each(spec.Child("policyName"), policy, apivalidation.NameIsDNSSubdomain(policy, false))
	}
	if ref != nil {
		checkParamRef(l, spec.Child("paramRef"), ref)
	}
	checkMatch(l, spec.Child("matchResources"), match)
}

func checkParamRef(l *check.List, at *field.Path, r *admissionv1.ParamRef) {
	if r.Name != "" {
		l.Each(at.Child("name"), r.Name, content.IsPathSegmentName(r.Name))
	}
	l.Add(metav1validation.ValidateLabelSelector(r.Selector, metav1validation.LabelSelectorValidationOptions{}, at.Child("selector"))...)
	switch {
	case r.Name != "" && r.Selector != nil:
		l.Forbidden(at.Child("name"), "name and selector are mutually exclusive")
		l.Forbidden(at.Child("selector"), "name and selector are mutually exclusive")
	case r.Name == "" && r.Selector == nil:
		l.Required(at, "one of name or selector must be specified")
	}
	if a := r.ParameterNotFoundAction; a == nil || *a == "" {
		l.Required(at.Child("parameterNotFoundAction"), "")
	} else {
		check.Known(l, at.Child("parameterNotFoundAction"), *a, admissionv1.DenyAction, admissionv1.AllowAction)
	}
}

func validateMutatingPolicy(p, old *admissionv1.MutatingAdmissionPolicy) field.ErrorList {
	var l check.List
	s := &p.Spec
	stored := sets.Set[string]{}
	unchanged := false
	if old != nil {
		stored = storedMutations(&old.Spec)
		unchanged = apiequality.Semantic.DeepEqual(s.MatchConditions, old.Spec.MatchConditions) && apiequality.Semantic.DeepEqual(s.ParamKind, old.Spec.ParamKind)
	}
	e := newExpressions(s.ParamKind != nil, stored)
	checkPolicy(&l, s.FailurePolicy, s.ParamKind, s.MatchConstraints)
	checkNoDelete(&l, spec.Child("matchConstraints"), s.MatchConstraints)
	if !unchanged {
		checkConditions(&l, spec.Child("matchConditions"), s.MatchConditions, e)
	}
	checkVariables(&l, s.Variables, e)
	if len(s.Mutations) == 0 {
		l.Required(spec.Child("mutations"), "mutations must contain at least one item")
	}
	for i := range s.Mutations {
		checkMutation(&l, spec.Child("mutations").Index(i), &s.Mutations[i], e)
	}
	check.OneOf(&l, spec.Child("reinvocationPolicy"), s.ReinvocationPolicy, admissionv1.NeverReinvocationPolicy, admissionv1.IfNeededReinvocationPolicy)
	return l.Errors()
}

func storedMutations(s *admissionv1.MutatingAdmissionPolicySpec) sets.Set[string] {
	stored := sets.Set[string]{}
	for _, c := range s.MatchConditions {
		stored.Insert(c.Expression)
	}
	for _, v := range s.Variables {
		stored.Insert(v.Expression)
	}
	for _, m := range s.Mutations {
		if m.JSONPatch != nil {
			stored.Insert(m.JSONPatch.Expression)
		}
		if m.ApplyConfiguration != nil {
			stored.Insert(m.ApplyConfiguration.Expression)
		}
	}
	return stored
}

// checkNoDelete: what is deleted cannot be changed.
func checkNoDelete(l *check.List, at *field.Path, m *admissionv1.MatchResources) {
	if m == nil {
		return
	}
	allowed := []admissionv1.OperationType{admissionv1.OperationAll, admissionv1.Create, admissionv1.Update, admissionv1.Connect}
	for _, r := range m.ResourceRules {
		for _, o := range r.Operations {
			if !slices.Contains(allowed, o) {
				check.Known(l, at.Child("resourceRules", "operations"), o, allowed...)
			}
		}
	}
}

func checkMutation(l *check.List, at *field.Path, m *admissionv1.Mutation, e *expressions) {
	apply, jsonPatch := at.Child("applyConfiguration"), at.Child("jsonPatch")
	expression := func(at *field.Path, text string, compile func(*check.List, *field.Path, string)) {
		if text = strings.TrimSpace(text); text == "" {
			l.Required(at.Child("expression"), "")
			return
		}
		compile(l, at.Child("expression"), text)
	}
	switch m.PatchType {
	case admissionv1.PatchTypeJSONPatch:
		if m.JSONPatch == nil {
			l.Required(jsonPatch, "must be specified when patchType is JSONPatch")
		} else {
			expression(jsonPatch, m.JSONPatch.Expression, e.jsonPatch)
		}
		if m.ApplyConfiguration != nil {
			l.Invalid(apply, "{applyConfiguration}", "must not be specified when patchType is JSONPatch")
		}
	case admissionv1.PatchTypeApplyConfiguration:
		if m.ApplyConfiguration == nil {
			l.Required(apply, "must be specified when patchType is ApplyConfiguration")
		} else {
			expression(apply, m.ApplyConfiguration.Expression, e.applied)
		}
		if m.JSONPatch != nil {
			l.Invalid(jsonPatch, "{jsonPatch}", "must not be specified when patchType is ApplyConfiguration")
		}
	default:
		check.OneOf(l, at.Child("patchType"), m.PatchType, admissionv1.PatchTypeApplyConfiguration, admissionv1.PatchTypeJSONPatch)
	}
}

func validateMutatingBinding(b *admissionv1.MutatingAdmissionPolicyBinding) field.ErrorList {
	var l check.List
	checkBinding(&l, b.Spec.PolicyName, b.Spec.ParamRef, b.Spec.MatchResources)
	checkNoDelete(&l, spec.Child("matchResources"), b.Spec.MatchResources)
	return l.Errors()
}
