package secret

import (
	"context"
	"encoding/json"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

var data = field.NewPath("data")

func validate(_ context.Context, s *corev1.Secret) field.ErrorList {
	var l check.List
	size := 0
	for _, key := range sets.List(sets.KeySet(s.Data)) {
		l.Each(data.Key(key), key, validation.IsConfigMapKey(key))
		size += len(s.Data[key])
	}
	if size > corev1.MaxSecretSize {
		l.Add(field.TooLong(data, "", corev1.MaxSecretSize))
	}
	byType(&l, s)
	return l.Errors()
}

// byType checks what the type promises to those who read the secret.
func byType(l *check.List, s *corev1.Secret) {
	has := func(key string) bool { _, there := s.Data[key]; return there }
	require := func(keys ...string) {
		for _, key := range keys {
			if !has(key) {
				l.Required(data.Key(key), "")
			}
		}
	}
	switch s.Type {
	case corev1.SecretTypeServiceAccountToken:
		l.NonEmpty(field.NewPath("metadata", "annotations").Key(corev1.ServiceAccountNameKey), s.Annotations[corev1.ServiceAccountNameKey])
	case corev1.SecretTypeDockercfg:
		require(corev1.DockerConfigKey)
		isJSON(l, s, corev1.DockerConfigKey)
	case corev1.SecretTypeDockerConfigJson:
		require(corev1.DockerConfigJsonKey)
		isJSON(l, s, corev1.DockerConfigJsonKey)
	case corev1.SecretTypeBasicAuth:
		if !has(corev1.BasicAuthUsernameKey) && !has(corev1.BasicAuthPasswordKey) {
			require(corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey)
		}
	case corev1.SecretTypeSSHAuth:
		if len(s.Data[corev1.SSHAuthPrivateKey]) == 0 {
			l.Required(data.Key(corev1.SSHAuthPrivateKey), "")
		}
	case corev1.SecretTypeTLS:
		require(corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	}
}

// isJSON checks a configuration of docker without showing it.
func isJSON(l *check.List, s *corev1.Secret, key string) {
	text, there := s.Data[key]
	if !there {
		return
	}
	if err := json.Unmarshal(text, &map[string]any{}); err != nil {
		l.Invalid(data.Key(key), "<secret contents redacted>", err.Error())
	}
}

func validateUpdate(ctx context.Context, s, old *corev1.Secret) field.ErrorList {
	var l check.List
	l.Immutable(field.NewPath("type"), s.Type, old.Type)
	if old.Immutable != nil && *old.Immutable {
		const sealed = "field is immutable when `immutable` is set"
		if s.Immutable == nil || !*s.Immutable {
			l.Forbidden(field.NewPath("immutable"), sealed)
		}
		if !maps.EqualFunc(s.Data, old.Data, func(a, b []byte) bool { return string(a) == string(b) }) {
			l.Forbidden(data, sealed)
		}
	}
	l.Add(validate(ctx, s)...)
	return l.Errors()
}
