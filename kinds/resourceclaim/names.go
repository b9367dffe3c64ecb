package resourceclaim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// list checks what the kinds of the group have in common.
type list struct{ check.List }

// each checks up to limit items; what is longer is not looked at. limit < 0: any number.
func each[T any](l *list, at *field.Path, items []T, limit int, item func(at *field.Path, item *T)) {
	if limit >= 0 && len(items) > limit {
		l.Add(field.TooMany(at, len(items), limit))
		return
	}
	for i := range items {
		item(at.Index(i), &items[i])
	}
}

// set is each for items that are different by key.
func set[T any, K comparable](l *list, at *field.Path, items []T, limit int, key func(*T) K, item func(at *field.Path, item *T)) {
	each(l, at, items, limit, item)
	if limit >= 0 && len(items) > limit {
		return
	}
	seen := map[K]bool{}
	for i := range items {
		k := key(&items[i])
		if seen[k] {
			l.Duplicate(at.Index(i), k)
		}
		seen[k] = true
	}
}

func itself[T any](item *T) T { return *item }

// entries checks a map, its keys in order.
func entries[K ~string, V any](l *list, at *field.Path, m map[K]V, limit int, key func(*field.Path, K), value func(*field.Path, V)) {
	if limit >= 0 && len(m) > limit {
		l.Add(field.TooMany(at, len(m), limit))
		return
	}
	for _, k := range sortedKeys(m) {
		key(at, k)
		if value != nil {
			value(at.Key(shorten(string(k))), m[k])
		}
	}
}

func sortedKeys[K ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// shorten cuts the middle out of a key that is longer than one may be.
func shorten(key string) string {
	const longest, dots = resourcev1.DeviceMaxDomainLength + 1 + resourcev1.DeviceMaxIDLength, "..."
	if len(key) <= longest {
		return key
	}
	left := longest - len(dots)
	return key[:(left+1)/2] + dots + key[len(key)-left/2:]
}

func (l *list) driver(at *field.Path, name string) {
	if !l.NonEmpty(at, name) {
		return
	}
	if len(name) > resourcev1.DriverNameMaxLength {
		l.Add(field.TooLong(at, "", resourcev1.DriverNameMaxLength))
	}
	l.Each(at, name, validation.IsDNS1123Subdomain(strings.ToLower(name)))
}

func (l *list) pool(at *field.Path, name string) {
	if !l.NonEmpty(at, name) {
		return
	}
	if len(name) > resourcev1.PoolNameMaxLength {
		l.Add(field.TooLong(at, "", resourcev1.PoolNameMaxLength))
	}
	for _, part := range strings.Split(name, "/") {
		l.Subdomain(at, part)
	}
}

// named requires a name that is a DNS label, and says it is missing rather than wrong.
func (l *list) named(at *field.Path, name string) {
	if l.NonEmpty(at, name) {
		l.Label(at, name)
	}
}

// qualified allows "name" and "domain/name".
func (l *list) qualified(at *field.Path, name resourcev1.QualifiedName) {
	parts := strings.Split(string(name), "/")
	switch len(parts) {
	case 1:
		l.identifier(at, parts[0])
	case 2:
		if parts[0] == "" {
			l.Invalid(at, "", "the domain must not be empty")
		} else {
			l.driver(at, parts[0])
		}
		if parts[1] == "" {
			l.Invalid(at, "", "the name must not be empty")
		} else {
			l.identifier(at, parts[1])
		}
	}
}

// fullyQualified requires "domain/name".
func (l *list) fullyQualified(at *field.Path, name resourcev1.FullyQualifiedName) {
	l.qualified(at, resourcev1.QualifiedName(name))
	if !strings.Contains(string(name), "/") {
		l.Invalid(at, name, "a fully qualified name must be a domain and a name separated by a slash")
	}
}

func (l *list) identifier(at *field.Path, id string) {
	if len(id) > resourcev1.DeviceMaxIDLength {
		l.Add(field.TooLong(at, "", resourcev1.DeviceMaxIDLength))
	}
	l.Each(at, id, content.IsCIdentifier(id))
}

// object requires a JSON object of at most longest bytes; what is stored may be longer.
func (l *list) object(at *field.Path, raw runtime.RawExtension, stored bool, longest int) {
	var v any
	switch {
	case len(raw.Raw) == 0:
		l.Required(at, "")
		return
	case !stored && len(raw.Raw) > longest:
		l.Add(field.TooLong(at, "", longest))
		return
	}
	if err := json.Unmarshal(raw.Raw, &v); err != nil {
		l.Invalid(at, "<value omitted>", fmt.Sprintf("error parsing data as JSON: %v", err))
		return
	}
	switch v.(type) {
	case nil:
		l.Required(at, "")
	case map[string]any:
	default:
		l.Invalid(at, "<value omitted>", "must be a valid JSON object")
	}
}

func warnOfDriver(name string) []string {
	if name == strings.ToLower(name) {
		return nil
	}
	return []string{fmt.Sprintf("spec.driver: driver names should be lowercase; %q contains uppercase characters", name)}
}
