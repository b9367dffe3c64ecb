// Package secret is all that the server knows of Secrets: defaults, validation and what kubectl prints.
package secret

import (
	"context"
	"crypto/tls"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"dhow/api/table"
	"dhow/apiserver"
)

// Kind defines Secrets.
func Kind() apiserver.Kind {
	return apiserver.Define[*corev1.Secret, *corev1.SecretList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "Secret", Resource: "secrets"},
		apiserver.Rules[*corev1.Secret]{
			Default:          Default,
			PrepareForUpdate: keepType,
			Validate:         validate,
			ValidateUpdate:   validateUpdate,
			Warnings:         warn,
			Fields:           func(s *corev1.Secret) fields.Set { return fields.Set{"type": string(s.Type)} },
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Column("Type", corev1.Secret{}.SwaggerDoc()["type"]),
				table.Column("Data", corev1.Secret{}.SwaggerDoc()["data"]), table.Age(),
			},
			Cells: func(s *corev1.Secret) []any {
				return []any{string(s.Type), int64(len(s.Data)), table.Since(s.CreationTimestamp)}
			},
		})
}

// Default gives the secret a type and moves stringData, which is written only, into data.
func Default(s *corev1.Secret) {
	if s.Type == "" {
		s.Type = corev1.SecretTypeOpaque
	}
	if len(s.StringData) == 0 {
		return
	}
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	for key, value := range s.StringData {
		s.Data[key] = []byte(value)
	}
	s.StringData = nil
}

func keepType(_ context.Context, s, old *corev1.Secret) {
	if s.Type == "" {
		s.Type = old.Type
	}
}

func warn(_ context.Context, s, _ *corev1.Secret) []string {
	if s.Type != corev1.SecretTypeTLS {
		return nil
	}
	if _, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey]); err != nil {
		return []string{err.Error()}
	}
	return nil
}
