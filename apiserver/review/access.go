package review

import (
	"context"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// subjectAccess answers whether some user may do something.
type subjectAccess struct{ authorizer authorizer.Authorizer }

func (r subjectAccess) answer(ctx context.Context, q *authorizationv1.SubjectAccessReview, admit func() error) (runtime.Object, error) {
	if errs := validateSubjectAccess(q); len(errs) > 0 {
		return nil, invalid("SubjectAccessReview", errs)
	}
	if err := admit(); err != nil {
		return nil, err
	}
	q.Status = decide(ctx, r.authorizer, attributesOf(q.Spec))
	return q, nil
}

// selfSubjectAccess answers whether the one who asks may do something.
type selfSubjectAccess struct{ authorizer authorizer.Authorizer }

func (r selfSubjectAccess) answer(ctx context.Context, q *authorizationv1.SelfSubjectAccessReview, admit func() error) (runtime.Object, error) {
	if errs := validateSelfSubjectAccess(q); len(errs) > 0 {
		return nil, invalid("SelfSubjectAccessReview", errs)
	}
	u, err := asking(ctx)
	if err != nil {
		return nil, err
	}
	if err := admit(); err != nil {
		return nil, err
	}
	q.Status = decide(ctx, r.authorizer, attributes(u, q.Spec.ResourceAttributes, q.Spec.NonResourceAttributes))
	return q, nil
}

// localSubjectAccess answers whether some user may do something in the namespace of the question.
type localSubjectAccess struct{ authorizer authorizer.Authorizer }

func (r localSubjectAccess) answer(ctx context.Context, q *authorizationv1.LocalSubjectAccessReview, admit func() error) (runtime.Object, error) {
	if errs := validateLocalSubjectAccess(q); len(errs) > 0 {
		return nil, invalid("LocalSubjectAccessReview", errs)
	}
	namespace := request.NamespaceValue(ctx)
	if namespace == "" {
		return nil, apierrors.NewBadRequest("namespace is required on this type: ")
	}
	if namespace != q.Namespace {
		return nil, apierrors.NewBadRequest("spec.resourceAttributes.namespace must match namespace: " + namespace)
	}
	if err := admit(); err != nil {
		return nil, err
	}
	q.Status = decide(ctx, r.authorizer, attributesOf(q.Spec))
	return q, nil
}

func invalid(kind string, errs field.ErrorList) error {
	return apierrors.NewInvalid(authorizationv1.SchemeGroupVersion.WithKind(kind).GroupKind(), "", errs)
}

// asking is the user who makes the request.
func asking(ctx context.Context) (user.Info, error) {
	u, ok := request.UserFrom(ctx)
	if !ok {
		return nil, apierrors.NewBadRequest("no user present on request")
	}
	return u, nil
}

func decide(ctx context.Context, a authorizer.Authorizer, what authorizer.AttributesRecord) authorizationv1.SubjectAccessReviewStatus {
	decision, reason, err := a.Authorize(ctx, what)
	return authorizationv1.SubjectAccessReviewStatus{
		Allowed: decision == authorizer.DecisionAllow, Denied: decision == authorizer.DecisionDeny,
		Reason: reason, EvaluationError: evaluationError(err, what),
	}
}

// evaluationError says what could not be found out, and which part of the question was passed over.
func evaluationError(err error, what authorizer.AttributesRecord) string {
	var all []string
	if err != nil {
		all = append(all, err.Error())
	}
	if known, err := what.GetFieldSelector(); err != nil {
		all = append(all, passedOver("fieldSelector", len(known)))
	}
	if known, err := what.GetLabelSelector(); err != nil {
		all = append(all, passedOver("labelSelector", len(known)))
	}
	return strings.Join(all, "; ")
}

func passedOver(selector string, known int) string {
	how := " "
	if known > 0 {
		how = " partially "
	}
	return "spec.resourceAttributes." + selector + how + "ignored due to parse error"
}
