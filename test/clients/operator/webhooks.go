package operator

import (
	"context"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	v1 "dhow/test/clients/operator/v1"
)

// defaulter is the mutating webhook.
type defaulter struct{}

// Default fills in the language.
func (defaulter) Default(_ context.Context, g *v1.Greeting) error {
	if g.Spec.Language == "" {
		g.Spec.Language = "en"
	}
	return nil
}

// validator is the validating webhook: a greeting has words, and they do not become fewer.
type validator struct{}

// ValidateCreate wants words, and warns of long ones.
func (validator) ValidateCreate(_ context.Context, g *v1.Greeting) (admission.Warnings, error) {
	if g.Spec.Words == "" {
		return nil, errors.New("a greeting has words")
	}
	if len(g.Spec.Words) > 20 {
		return admission.Warnings{"these are long words"}, nil
	}
	return nil, nil
}

// ValidateUpdate wants words that are not fewer.
func (validator) ValidateUpdate(_ context.Context, old, g *v1.Greeting) (admission.Warnings, error) {
	if len(g.Spec.Words) < len(old.Spec.Words) {
		return nil, errors.New("words may not become fewer")
	}
	return nil, nil
}

// ValidateDelete lets all go.
func (validator) ValidateDelete(context.Context, *v1.Greeting) (admission.Warnings, error) {
	return nil, nil
}
