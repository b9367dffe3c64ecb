// Package check collects what is wrong with an API object as field errors in upstream's words. It holds the
// checks that several kinds share: names, keys, ports, paths, addresses. It knows no kind.
package check

import (
	"slices"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// List collects field errors. The zero value is empty and ready.
type List struct {
	errs field.ErrorList
}

// Errors are all errors so far, nil when there are none.
func (l *List) Errors() field.ErrorList { return l.errs }

// Add appends errors made elsewhere.
func (l *List) Add(errs ...*field.Error) { l.errs = append(l.errs, errs...) }

// Invalid says that value at path is wrong.
func (l *List) Invalid(path *field.Path, value any, detail string) {
	l.Add(field.Invalid(path, value, detail))
}

// Required says that there is nothing at path.
func (l *List) Required(path *field.Path, detail string) { l.Add(field.Required(path, detail)) }

// Forbidden says that path may not be set or changed.
func (l *List) Forbidden(path *field.Path, detail string) { l.Add(field.Forbidden(path, detail)) }

// Duplicate says that value was there before.
func (l *List) Duplicate(path *field.Path, value any) { l.Add(field.Duplicate(path, value)) }

// NotFound says that value names nothing that exists.
func (l *List) NotFound(path *field.Path, value any) { l.Add(field.NotFound(path, value)) }

// Each adds one Invalid for every message.
func (l *List) Each(path *field.Path, value any, messages []string) {
	for _, m := range messages {
		l.Invalid(path, value, m)
	}
}

// NonEmpty requires value.
func (l *List) NonEmpty(path *field.Path, value string) bool {
	if value == "" {
		l.Required(path, "")
	}
	return value != ""
}

// Subdomain requires a DNS-1123 subdomain.
func (l *List) Subdomain(path *field.Path, value string) {
	l.Each(path, value, validation.IsDNS1123Subdomain(value))
}

// Label requires a DNS-1123 label.
func (l *List) Label(path *field.Path, value string) {
	l.Each(path, value, validation.IsDNS1123Label(value))
}

// Qualified requires a qualified name, such as "example.com/name".
func (l *List) Qualified(path *field.Path, value string) {
	l.Each(path, value, validation.IsQualifiedName(value))
}

// NonNegative requires value ≥ 0.
func (l *List) NonNegative(path *field.Path, value int64) {
	l.Add(apivalidation.ValidateNonnegativeField(value, path)...)
}

// Positive requires value > 0.
func (l *List) Positive(path *field.Path, value int64) {
	if value <= 0 {
		l.Invalid(path, value, "must be greater than zero")
	}
}

// Range requires min ≤ value ≤ max.
func (l *List) Range(path *field.Path, value, minimum, maximum int) {
	if value < minimum || value > maximum {
		l.Invalid(path, value, validation.InclusiveRangeError(minimum, maximum))
	}
}

// Immutable requires that now equals old.
func (l *List) Immutable(path *field.Path, now, old any) {
	l.Add(apivalidation.ValidateImmutableField(now, old, path)...)
}

// OneOf requires value to be among all; an empty one is reported as missing.
func OneOf[T ~string](l *List, path *field.Path, value T, all ...T) {
	if value == "" {
		l.Required(path, "")
		return
	}
	Known(l, path, value, all...)
}

// Known requires value to be among all.
func Known[T ~string](l *List, path *field.Path, value T, all ...T) {
	if slices.Contains(all, value) {
		return
	}
	sorted := slices.Clone(all)
	slices.Sort(sorted)
	l.Add(field.NotSupported(path, value, sorted))
}

// Listed is OneOf for values that upstream lists in an order of its own.
func Listed[T ~string](l *List, path *field.Path, value T, all ...T) {
	switch {
	case value == "":
		l.Required(path, "")
	case !slices.Contains(all, value):
		l.Add(field.NotSupported(path, value, all))
	}
}

// KnownPtr is Known for an optional value.
func KnownPtr[T ~string](l *List, path *field.Path, value *T, all ...T) {
	if value != nil {
		Known(l, path, *value, all...)
	}
}
