package dynamicadmission

import (
	"context"

	"k8s.io/apiserver/pkg/admission"
)

// Chain runs plug-ins in order; those that change objects once more when a webhook or policy behind them has changed
// something and asks for it (reinvocationPolicy).
func Chain(plugins []admission.Interface) admission.Interface {
	return chain{admission.NewChainHandler(plugins...)}
}

type chain struct{ admission.Interface }

var (
	_ admission.MutationInterface   = chain{}
	_ admission.ValidationInterface = chain{}
)

// Admit implements admission.MutationInterface.
func (c chain) Admit(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	m := c.Interface.(admission.MutationInterface)
	if err := m.Admit(ctx, a, o); err != nil {
		return err
	}
	again := a.GetReinvocationContext()
	if !again.ShouldReinvoke() {
		return nil
	}
	again.SetIsReinvoke()
	return m.Admit(ctx, a, o)
}

// Validate implements admission.ValidationInterface.
func (c chain) Validate(ctx context.Context, a admission.Attributes, o admission.ObjectInterfaces) error {
	return c.Interface.(admission.ValidationInterface).Validate(ctx, a, o)
}
