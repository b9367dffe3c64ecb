// Package serviceaccount is all that the server knows of ServiceAccounts: what kubectl prints, and the tokens it
// makes for them; and the controller that gives every namespace a default one.
package serviceaccount

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/kubernetes"

	"dhow/apiserver"
)

// Config is what ServiceAccounts need from elsewhere.
type Config struct {
	// Issuer signs tokens.
	Issuer Issuer
	// Client reads the pods, secrets and nodes that tokens are bound to. It is called when the server runs.
	Client func() kubernetes.Interface
	// MaxExpiration cuts the life of tokens that are asked for; 0 for no limit.
	MaxExpiration time.Duration
	// NoExtension lets the tokens of pods end when they say, though their clients may not read them again.
	NoExtension bool
}

// Kind defines ServiceAccounts.
func Kind(config Config) apiserver.Kind {
	return apiserver.Define[*corev1.ServiceAccount, *corev1.ServiceAccountList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "ServiceAccount", Resource: "serviceaccounts", ShortNames: []string{"sa"}},
		apiserver.Rules[*corev1.ServiceAccount]{
			PrepareForCreate: func(_ context.Context, a *corev1.ServiceAccount) { nameSecrets(a) },
			PrepareForUpdate: func(_ context.Context, a, _ *corev1.ServiceAccount) { nameSecrets(a) },
			Warnings:         warn,
			Columns:          columns(),
			Cells:            cells,
			Subresources: map[string]func(*genericregistry.Store) rest.Storage{
				"token": func(s *genericregistry.Store) rest.Storage {
					return &tokens{accounts: s, config: config}
				},
			},
		})
}

// nameSecrets keeps the names of secrets alone: they are in the account's namespace.
func nameSecrets(a *corev1.ServiceAccount) {
	for i, s := range a.Secrets {
		a.Secrets[i] = corev1.ObjectReference{Name: s.Name}
	}
}

func warn(_ context.Context, a, _ *corev1.ServiceAccount) []string {
	var all []string
	if _, set := a.Annotations[enforceMountable]; set {
		all = append(all, "metadata.annotations["+enforceMountable+"]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets")
	}
	return all
}

const enforceMountable = "kubernetes.io/enforce-mountable-secrets"
