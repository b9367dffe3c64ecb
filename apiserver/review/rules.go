package review

import (
	"context"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// selfSubjectRules lists what the one who asks may do in a namespace.
type selfSubjectRules struct{ rules authorizer.RuleResolver }

func (r selfSubjectRules) answer(ctx context.Context, q *authorizationv1.SelfSubjectRulesReview, admit func() error) (runtime.Object, error) {
	u, err := asking(ctx)
	if err != nil {
		return nil, err
	}
	if q.Spec.Namespace == "" {
		return nil, apierrors.NewBadRequest("no namespace on request")
	}
	if err := admit(); err != nil {
		return nil, err
	}
	resources, urls, incomplete, err := r.rules.RulesFor(ctx, u, q.Spec.Namespace)
	status := authorizationv1.SubjectRulesReviewStatus{
		// Both are required in the API: empty, never null.
		ResourceRules: make([]authorizationv1.ResourceRule, 0, len(resources)), NonResourceRules: make([]authorizationv1.NonResourceRule, 0, len(urls)),
		Incomplete: incomplete,
	}
	if err != nil {
		status.EvaluationError = err.Error()
	}
	for _, rule := range resources {
		status.ResourceRules = append(status.ResourceRules, authorizationv1.ResourceRule{
			Verbs: rule.GetVerbs(), APIGroups: rule.GetAPIGroups(), Resources: rule.GetResources(), ResourceNames: rule.GetResourceNames(),
		})
	}
	for _, rule := range urls {
		status.NonResourceRules = append(status.NonResourceRules, authorizationv1.NonResourceRule{
			Verbs: rule.GetVerbs(), NonResourceURLs: rule.GetNonResourceURLs(),
		})
	}
	return &authorizationv1.SelfSubjectRulesReview{Status: status}, nil
}
