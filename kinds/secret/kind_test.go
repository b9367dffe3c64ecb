package secret

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestValidateChecksWhatTheTypePromises(t *testing.T) {
	for _, c := range []struct {
		kind corev1.SecretType
		data map[string]string
		want []string
	}{
		{"Opaque", map[string]string{"a b": ""}, []string{`data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')`}},
		{corev1.SecretTypeTLS, nil, []string{"data[tls.crt]: Required value", "data[tls.key]: Required value"}},
		{corev1.SecretTypeBasicAuth, map[string]string{"username": "u"}, nil},
		{corev1.SecretTypeSSHAuth, nil, []string{"data[ssh-privatekey]: Required value"}},
		{corev1.SecretTypeDockerConfigJson, map[string]string{".dockerconfigjson": "{"}, []string{`data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": unexpected end of JSON input`}},
		{corev1.SecretTypeServiceAccountToken, nil, []string{"metadata.annotations[kubernetes.io/service-account.name]: Required value"}},
	} {
		s := &corev1.Secret{Type: c.kind, StringData: c.data}
		Default(s)
		var got []string
		for _, err := range validate(t.Context(), s) {
			got = append(got, err.Error())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q", c.kind, got)
		}
	}
}
