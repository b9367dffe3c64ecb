// Package review answers questions that clients write as objects: may somebody do this, whose token is this, who am I?
// They are created, answered in the reply, and never stored.
package review

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/rest"
)

// Config says whom to ask.
type Config struct {
	Authorizer authorizer.Authorizer
	// Rules lists what a user may do.
	Rules authorizer.RuleResolver
	// Tokens finds out whose a bearer token is, and Audiences are whom a token must be meant for if a review names nobody.
	Tokens    authenticator.Request
	Audiences authenticator.Audiences
}

// Storages are the endpoints by group version and resource.
func Storages(c Config) map[schema.GroupVersion]map[string]rest.Storage {
	return map[schema.GroupVersion]map[string]rest.Storage{
		authorizationv1.SchemeGroupVersion: {
			"subjectaccessreviews":      newEndpoint("subjectaccessreview", false, subjectAccess{c.Authorizer}.answer),
			"selfsubjectaccessreviews":  newEndpoint("selfsubjectaccessreview", false, selfSubjectAccess{c.Authorizer}.answer),
			"localsubjectaccessreviews": newEndpoint("localsubjectaccessreview", true, localSubjectAccess{c.Authorizer}.answer),
			"selfsubjectrulesreviews":   newEndpoint("selfsubjectrulesreview", false, selfSubjectRules{c.Rules}.answer),
		},
		authenticationv1.SchemeGroupVersion: {
			"tokenreviews":       newEndpoint("tokenreview", false, tokens{c.Tokens, c.Audiences}.answer),
			"selfsubjectreviews": newEndpoint("selfsubjectreview", false, whoAmI),
		},
	}
}

// IsReview says whether obj is one of this package's.
func IsReview(obj runtime.Object) bool {
	switch obj.(type) {
	case *authorizationv1.SubjectAccessReview, *authorizationv1.SelfSubjectAccessReview, *authorizationv1.LocalSubjectAccessReview,
		*authorizationv1.SelfSubjectRulesReview, *authenticationv1.TokenReview, *authenticationv1.SelfSubjectReview:
		return true
	}
	return false
}

// answerer checks a question, calls admit, and then answers it; the answer may be the question, filled in.
type answerer[T runtime.Object] func(ctx context.Context, question T, admit func() error) (runtime.Object, error)

// endpoint is where questions of one kind are created.
type endpoint[T any, P interface {
	*T
	runtime.Object
}] struct {
	singular   string
	namespaced bool
	answer     answerer[P]
}

func newEndpoint[T any, P interface {
	*T
	runtime.Object
}](singular string, namespaced bool, answer func(context.Context, P, func() error) (runtime.Object, error)) rest.Storage {
	return &endpoint[T, P]{singular, namespaced, answer}
}

var _ interface {
	rest.Creater
	rest.Scoper
	rest.SingularNameProvider
} = &endpoint[authorizationv1.SubjectAccessReview, *authorizationv1.SubjectAccessReview]{}

func (e *endpoint[T, P]) New() runtime.Object     { return P(new(T)) }
func (e *endpoint[T, P]) Destroy()                {}
func (e *endpoint[T, P]) NamespaceScoped() bool   { return e.namespaced }
func (e *endpoint[T, P]) GetSingularName() string { return e.singular }

func (e *endpoint[T, P]) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, _ *metav1.CreateOptions) (runtime.Object, error) {
	question, ok := obj.(P)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("expected a %T, not a %T", P(nil), obj))
	}
	return e.answer(ctx, question, func() error {
		if validate == nil {
			return nil
		}
		return validate(ctx, obj.DeepCopyObject())
	})
}
