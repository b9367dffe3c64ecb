package review

import (
	"context"
	"errors"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// tokens answers whose a token is.
type tokens struct {
	authenticator authenticator.Request
	audiences     authenticator.Audiences
}

func (r tokens) answer(ctx context.Context, q *authenticationv1.TokenReview, admit func() error) (runtime.Object, error) {
	if q.Spec.Token == "" {
		return nil, apierrors.NewBadRequest("token is required for TokenReview in authentication")
	}
	if err := admit(); err != nil {
		return nil, err
	}
	audiences := authenticator.Audiences(q.Spec.Audiences)
	if len(audiences) == 0 {
		audiences = r.audiences
	}
	found, ok, err := r.authenticator.AuthenticateRequest(bearing(ctx, q.Spec.Token, audiences))
	q.Status = authenticationv1.TokenReviewStatus{Authenticated: ok}
	if err != nil {
		q.Status.Error = err.Error()
	}
	if found == nil || found.User == nil {
		return q, nil
	}
	if len(audiences) > 0 && len(audiences.Intersect(found.Audiences)) == 0 {
		return nil, apierrors.NewInternalError(errors.New("error validating audiences"))
	}
	q.Status.User, q.Status.Audiences = userInfo(found.User), found.Audiences
	return q, nil
}

// bearing is a request that has nothing but the token.
func bearing(ctx context.Context, token string, audiences authenticator.Audiences) *http.Request {
	r := &http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}
	return r.WithContext(authenticator.WithAudiences(ctx, audiences))
}

// whoAmI answers who asks.
func whoAmI(ctx context.Context, _ *authenticationv1.SelfSubjectReview, admit func() error) (runtime.Object, error) {
	if err := admit(); err != nil {
		return nil, err
	}
	u, err := asking(ctx)
	if err != nil {
		return nil, err
	}
	return &authenticationv1.SelfSubjectReview{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.Now()},
		Status:     authenticationv1.SelfSubjectReviewStatus{UserInfo: userInfo(u)},
	}, nil
}

func userInfo(u user.Info) authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{Username: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups()}
	for k, v := range u.GetExtra() {
		if info.Extra == nil {
			info.Extra = map[string]authenticationv1.ExtraValue{}
		}
		info.Extra[k] = v
	}
	return info
}
