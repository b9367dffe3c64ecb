package admit

import (
	"context"
	"errors"

	"k8s.io/apiserver/pkg/admission"
)

// Always lets every request pass: the plug-in AlwaysAdmit, kept for its name.
func Always() admission.Interface { return always{} }

type always struct{}

var (
	_ admission.MutationInterface   = always{}
	_ admission.ValidationInterface = always{}
)

func (always) Handles(admission.Operation) bool { return true }

// Admit lets every request pass.
func (always) Admit(context.Context, admission.Attributes, admission.ObjectInterfaces) error {
	return nil
}

// Validate lets every request pass.
func (always) Validate(context.Context, admission.Attributes, admission.ObjectInterfaces) error {
	return nil
}

// Never refuses every request: the plug-in AlwaysDeny, for tests of clients.
func Never() admission.Interface { return never{} }

type never struct{}

var (
	_ admission.MutationInterface   = never{}
	_ admission.ValidationInterface = never{}
)

func (never) Handles(admission.Operation) bool { return true }

// Admit refuses.
func (never) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	return admission.NewForbidden(a, errors.New("admission control is denying all modifications"))
}

// Validate refuses.
func (never) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	return admission.NewForbidden(a, errors.New("admission control is denying all modifications"))
}
