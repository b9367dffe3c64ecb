package flowcontrol

import (
	"fmt"
	"slices"
	"strings"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

func validateSchema(s *flowcontrolv1.FlowSchema) field.ErrorList {
	var l check.List
	at := field.NewPath("spec")
	precedence(&l, at.Child("matchingPrecedence"), s)
	if m := s.Spec.DistinguisherMethod; m != nil {
		known := []flowcontrolv1.FlowDistinguisherMethodType{
			flowcontrolv1.FlowDistinguisherMethodByNamespaceType, flowcontrolv1.FlowDistinguisherMethodByUserType,
		}
		if !slices.Contains(known, m.Type) {
			l.Add(field.NotSupported(at.Child("distinguisherMethod", "type"), m, known))
		}
	}
	level := at.Child("priorityLevelConfiguration", "name")
	if name := s.Spec.PriorityLevelConfiguration.Name; name != "" {
		l.Subdomain(level, name)
	} else {
		l.Required(level, "must reference a priority level")
	}
	for i := range s.Spec.Rules {
		rule(&l, at.Child("rules").Index(i), &s.Spec.Rules[i])
	}
	if fixed := mandatorySchema(s.Name); fixed != nil && !equality.Semantic.DeepEqual(s.Spec, fixed.Spec) {
		l.Invalid(at, s.Spec, fmt.Sprintf("spec of '%s' must equal the fixed value", s.Name))
	}
	l.Add(schemaStatus(s)...)
	return l.Errors()
}

func precedence(l *check.List, at *field.Path, s *flowcontrolv1.FlowSchema) {
	const highest = flowcontrolv1.FlowSchemaMaxMatchingPrecedence
	switch n := s.Spec.MatchingPrecedence; {
	case n <= 0:
		l.Invalid(at, n, "must be a positive value")
	case n > highest:
		l.Invalid(at, n, fmt.Sprintf("must not be greater than %v", highest))
	case n == 1 && s.Name != flowcontrolv1.FlowSchemaNameExempt:
		l.Invalid(at, n, "only the schema named 'exempt' may have matchingPrecedence 1")
	}
}

func rule(l *check.List, at *field.Path, r *flowcontrolv1.PolicyRulesWithSubjects) {
	if len(r.Subjects) == 0 {
		l.Required(at.Child("subjects"), "subjects must contain at least one value")
	}
	for i := range r.Subjects {
		subject(l, at.Child("subjects").Index(i), &r.Subjects[i])
	}
	if len(r.ResourceRules)+len(r.NonResourceRules) == 0 {
		l.Required(at, "at least one of resourceRules and nonResourceRules has to be non-empty")
	}
	for i := range r.ResourceRules {
		resourceRule(l, at.Child("resourceRules").Index(i), &r.ResourceRules[i])
	}
	for i := range r.NonResourceRules {
		nonResourceRule(l, at.Child("nonResourceRules").Index(i), &r.NonResourceRules[i])
	}
}

// subject has the one member that its kind names.
func subject(l *check.List, at *field.Path, s *flowcontrolv1.Subject) {
	members := []struct {
		kind flowcontrolv1.SubjectKind
		name string
		set  bool
	}{
		{flowcontrolv1.SubjectKindServiceAccount, "serviceAccount", s.ServiceAccount != nil},
		{flowcontrolv1.SubjectKindUser, "user", s.User != nil},
		{flowcontrolv1.SubjectKindGroup, "group", s.Group != nil},
	}
	switch s.Kind {
	case flowcontrolv1.SubjectKindServiceAccount:
		serviceAccount(l, at.Child("serviceAccount"), s.ServiceAccount)
	case flowcontrolv1.SubjectKindUser:
		if s.User != nil {
			l.NonEmpty(at.Child("user", "name"), s.User.Name)
		} else {
			l.Required(at.Child("user"), "user is required when subject kind is 'User'")
		}
	case flowcontrolv1.SubjectKindGroup:
		if s.Group != nil {
			l.NonEmpty(at.Child("group", "name"), s.Group.Name)
		} else {
			l.Required(at.Child("group"), "group is required when subject kind is 'Group'")
		}
	default:
		l.Add(field.NotSupported(at.Child("kind"), s.Kind, []flowcontrolv1.SubjectKind{
			flowcontrolv1.SubjectKindGroup, flowcontrolv1.SubjectKindServiceAccount, flowcontrolv1.SubjectKindUser,
		}))
		return
	}
	for _, m := range members {
		if m.set && m.kind != s.Kind {
			l.Forbidden(at.Child(m.name), fmt.Sprintf("%s is forbidden when subject kind is not '%s'", m.name, m.kind))
		}
	}
}

func serviceAccount(l *check.List, at *field.Path, s *flowcontrolv1.ServiceAccountSubject) {
	if s == nil {
		l.Required(at, "serviceAccount is required when subject kind is 'ServiceAccount'")
		return
	}
	if l.NonEmpty(at.Child("name"), s.Name) && s.Name != flowcontrolv1.NameAll {
		l.Subdomain(at.Child("name"), s.Name)
	}
	if s.Namespace == "" {
		l.Required(at.Child("namespace"), "must specify namespace for service account")
		return
	}
	l.Label(at.Child("namespace"), s.Namespace)
}

func resourceRule(l *check.List, at *field.Path, r *flowcontrolv1.ResourcePolicyRule) {
	verbs(l, at.Child("verbs"), r.Verbs)
	list(l, at.Child("apiGroups"), r.APIGroups, "resource rules must supply at least one api group", "api groups")
	list(l, at.Child("resources"), r.Resources, "resource rules must supply at least one resource", "resources")
	namespaces := at.Child("namespaces")
	switch {
	case len(r.Namespaces) == 0 && !r.ClusterScope:
		l.Required(namespaces, "resource rules that are not cluster scoped must supply at least one namespace")
	case len(r.Namespaces) > 0 && alone(l, namespaces, r.Namespaces, "namespaces"):
		for i, name := range r.Namespaces {
			for _, problem := range validation.IsDNS1123Label(name) {
				l.Invalid(namespaces.Index(i), name, "each member of this list must be '*' or a DNS-1123 label; "+problem)
			}
		}
	}
}

func nonResourceRule(l *check.List, at *field.Path, r *flowcontrolv1.NonResourcePolicyRule) {
	verbs(l, at.Child("verbs"), r.Verbs)
	urls := at.Child("nonResourceURLs")
	if list(l, urls, r.NonResourceURLs, "nonResourceURLs must contain at least one value", "non-resource URLs") {
		for i, url := range r.NonResourceURLs {
			if problem := urlProblem(url); problem != "" {
				l.Invalid(urls.Index(i), url, problem)
			}
		}
	}
}

var knownVerbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"}

func verbs(l *check.List, at *field.Path, all []string) {
	if !list(l, at, all, "verbs must contain at least one value", "verbs") {
		return
	}
	for _, v := range all {
		if !slices.Contains(knownVerbs, v) {
			l.Add(field.NotSupported(at, all, knownVerbs))
			return
		}
	}
}

// list requires members, and says whether they are to be looked at: none is "*".
func list(l *check.List, at *field.Path, members []string, missing, others string) bool {
	if len(members) == 0 {
		l.Required(at, missing)
		return false
	}
	return alone(l, at, members, others)
}

// alone requires that "*", where it is, is the only member. It is false when there is one.
func alone(l *check.List, at *field.Path, members []string, others string) bool {
	if !slices.Contains(members, "*") {
		return true
	}
	if len(members) > 1 {
		l.Invalid(at, members, "if '*' is present, must not specify other "+others)
	}
	return false
}

func urlProblem(url string) string {
	stars := strings.Count(url, "*")
	switch {
	case url == "":
		return "must not be empty"
	case url == "/":
		return ""
	case !strings.HasPrefix(url, "/"):
		return "must start with slash"
	case strings.Contains(url, " "):
		return "must not contain white-space"
	case strings.Contains(url, "//"):
		return "must not contain double slash"
	case stars > 1 || stars == 1 && !strings.HasSuffix(url, "/*"):
		return "wildcard can only do suffix matching"
	}
	return ""
}

func schemaStatus(s *flowcontrolv1.FlowSchema) field.ErrorList {
	var l check.List
	var types []string
	for _, c := range s.Status.Conditions {
		types = append(types, string(c.Type))
	}
	conditionTypes(&l, types)
	return l.Errors()
}

// conditionTypes are there, and each once.
func conditionTypes(l *check.List, types []string) {
	for i, t := range types {
		at := field.NewPath("status", "conditions").Index(i).Child("type")
		if slices.Contains(types[:i], t) {
			l.Duplicate(at, t)
		}
		l.NonEmpty(at, t)
	}
}
