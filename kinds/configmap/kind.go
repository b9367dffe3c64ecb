// Package configmap is all that the server knows of ConfigMaps: defaults, validation and what kubectl prints.
package configmap

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/apiserver"
)

// Kind defines ConfigMaps.
func Kind() apiserver.Kind {
	return apiserver.Define[*corev1.ConfigMap, *corev1.ConfigMapList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "ConfigMap", Resource: "configmaps", ShortNames: []string{"cm"}},
		apiserver.Rules[*corev1.ConfigMap]{
			Default:        Default,
			Validate:       validate,
			ValidateUpdate: validateUpdate,
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Column("Data", corev1.ConfigMap{}.SwaggerDoc()["data"]), table.Age(),
			},
			Cells: func(m *corev1.ConfigMap) []any {
				return []any{int64(len(m.Data) + len(m.BinaryData)), table.Since(m.CreationTimestamp)}
			},
		})
}

// Default makes data a map, so that patches can add to it.
func Default(m *corev1.ConfigMap) {
	if m.Data == nil {
		m.Data = map[string]string{}
	}
}

func validate(_ context.Context, m *corev1.ConfigMap) field.ErrorList {
	var l check.List
	size := 0
	for _, key := range sets.List(sets.KeySet(m.Data)) {
		at := field.NewPath("data").Key(key)
		l.Each(at, key, validation.IsConfigMapKey(key))
		if _, twice := m.BinaryData[key]; twice {
			l.Invalid(at, key, "duplicate of key present in binaryData")
		}
		size += len(m.Data[key])
	}
	for _, key := range sets.List(sets.KeySet(m.BinaryData)) {
		l.Each(field.NewPath("binaryData").Key(key), key, validation.IsConfigMapKey(key))
		size += len(m.BinaryData[key])
	}
	if size > corev1.MaxSecretSize {
		l.Add(field.TooLong(field.NewPath(""), "", corev1.MaxSecretSize))
	}
	return l.Errors()
}

func validateUpdate(ctx context.Context, m, old *corev1.ConfigMap) field.ErrorList {
	var l check.List
	if old.Immutable != nil && *old.Immutable {
		const sealed = "field is immutable when `immutable` is set"
		if m.Immutable == nil || !*m.Immutable {
			l.Forbidden(field.NewPath("immutable"), sealed)
		}
		if !maps.Equal(m.Data, old.Data) {
			l.Forbidden(field.NewPath("data"), sealed)
		}
		if !maps.EqualFunc(m.BinaryData, old.BinaryData, func(a, b []byte) bool { return string(a) == string(b) }) {
			l.Forbidden(field.NewPath("binaryData"), sealed)
		}
	}
	l.Add(validate(ctx, m)...)
	return l.Errors()
}
