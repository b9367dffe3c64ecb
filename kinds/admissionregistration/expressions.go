package admissionregistration

import (
	"errors"
	"fmt"
	"sync"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"

	"dhow/api/check"
)

// expressions checks CEL by compiling it. The compiler is made for the first expression: it costs some milliseconds
// and megabytes.
type expressions struct {
	// params: the policy has parameters.
	params bool
	// stored were accepted before, perhaps by another version of the language; they stay.
	stored sets.Set[string]
	// composed has the policy's variables, each checked before what may use it.
	composed func() (*cel.CompositedCompiler, error)
	// plain has none: conditions come before variables.
	plain func() cel.Compiler
}

func newExpressions(params bool, stored sets.Set[string]) *expressions {
	base := func() *environment.EnvSet {
		return environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
	}
	return &expressions{
		params: params, stored: stored,
		composed: sync.OnceValues(func() (*cel.CompositedCompiler, error) { return cel.NewCompositedCompiler(base()) }),
		plain:    sync.OnceValue(func() cel.Compiler { return cel.NewCompiler(base()) }),
	}
}

func (e *expressions) environment(text string) environment.Type {
	if e.stored.Has(text) {
		return environment.StoredExpressions
	}
	return environment.NewExpressions
}

func (e *expressions) condition(l *check.List, at *field.Path, text string) {
	options := cel.OptionalVariableDeclarations{HasParams: e.params, HasAuthorizer: true}
	condition := &matchconditions.MatchCondition{Expression: text}
	e.report(l, at, text, e.plain().CompileCELExpression(condition, options, e.environment(text)).Error)
}

func (e *expressions) variable(l *check.List, at *field.Path, v *admissionv1.Variable) {
	compiler, err := e.composed()
	if err != nil {
		l.Add(field.InternalError(at, err))
		return
	}
	options := cel.OptionalVariableDeclarations{HasParams: e.params, HasAuthorizer: true}
	variable := &validating.Variable{Name: v.Name, Expression: v.Expression}
	e.report(l, at, v.Expression, compiler.CompileAndStoreVariable(variable, options, e.environment(v.Expression)).Error)
}

func (e *expressions) validation(l *check.List, at *field.Path, text string) {
	e.compile(l, at, text, &validating.ValidationCondition{Expression: text}, cel.OptionalVariableDeclarations{HasParams: e.params, HasAuthorizer: true})
}

func (e *expressions) message(l *check.List, at *field.Path, text string) {
	e.compile(l, at, text, &validating.MessageExpressionCondition{MessageExpression: text}, cel.OptionalVariableDeclarations{HasParams: e.params})
}

func (e *expressions) annotation(l *check.List, at *field.Path, text string) {
	e.compile(l, at, text, &validating.AuditAnnotationCondition{ValueExpression: text}, cel.OptionalVariableDeclarations{HasParams: e.params, HasAuthorizer: true})
}

func (e *expressions) jsonPatch(l *check.List, at *field.Path, text string) {
	e.compile(l, at, text, &patch.JSONPatchCondition{Expression: text}, e.patching())
}

func (e *expressions) applied(l *check.List, at *field.Path, text string) {
	e.compile(l, at, text, &patch.ApplyConfigurationCondition{Expression: text}, e.patching())
}

func (e *expressions) patching() cel.OptionalVariableDeclarations {
	return cel.OptionalVariableDeclarations{HasParams: e.params, HasAuthorizer: true, HasPatchTypes: true}
}

func (e *expressions) compile(l *check.List, at *field.Path, text string, expression cel.ExpressionAccessor, options cel.OptionalVariableDeclarations) {
	compiler, err := e.composed()
	if err != nil {
		l.Add(field.InternalError(at, err))
		return
	}
	e.report(l, at, text, compiler.CompileCELExpression(expression, options, e.environment(text)).Error)
}

// report says in a field's words what the compiler found.
func (e *expressions) report(l *check.List, at *field.Path, text string, found *apiservercel.Error) {
	if found == nil {
		return
	}
	switch found.Type {
	case apiservercel.ErrorTypeRequired:
		l.Required(at, found.Detail)
	case apiservercel.ErrorTypeInvalid:
		l.Invalid(at, text, found.Detail)
	case apiservercel.ErrorTypeInternal:
		l.Add(field.InternalError(at, found))
	default:
		l.Add(field.InternalError(at, fmt.Errorf("unsupported error type: %w", errors.New(found.Error()))))
	}
}
