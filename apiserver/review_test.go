package apiserver_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/apiserver/token"
)

// readers lets jane read pods that run on node "n", and anybody ask about themselves.
type readers struct{ authorizer.Authorizer }

func (readers) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if strings.HasPrefix(a.GetResource(), "selfsubject") {
		return authorizer.DecisionAllow, "", nil
	}
	fields, _ := a.GetFieldSelector()
	onNode := len(fields) == 1 && fields[0].Field == "spec.nodeName" && fields[0].Value == "n"
	if a.GetUser().GetName() == "jane" && a.GetResource() == "pods" && onNode {
		return authorizer.DecisionAllow, "jane reads n", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

func (readers) RulesFor(_ context.Context, u user.Info, namespace string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	return []authorizer.ResourceRuleInfo{&authorizer.DefaultResourceRuleInfo{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}, ResourceNames: []string{u.GetName() + "." + namespace}}}, nil, false, nil
}

func startWithReaders(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	return apiservertest.Start(t, bare(), func(c *apiserver.Config) {
		c.Authorizer = func(informers.SharedInformerFactory) (authorizer.Authorizer, error) { return readers{}, nil }
	})
}

func onNode(name string) *authorizationv1.ResourceAttributes {
	return &authorizationv1.ResourceAttributes{
		Verb: "list", Resource: "pods", FieldSelector: &authorizationv1.FieldSelectorAttributes{RawSelector: "spec.nodeName=" + name},
	}
}

func TestAccessReviewsGiveTheAuthorizersDecision(t *testing.T) {
	c := startWithReaders(t)
	for node, want := range map[string]bool{"n": true, "m": false} {
		spec := authorizationv1.SubjectAccessReviewSpec{User: "jane", ResourceAttributes: onNode(node)}
		got, err := c.Client.AuthorizationV1().SubjectAccessReviews().Create(c.Context, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Status.Allowed != want {
			t.Errorf("may jane list pods of %s? %+v", node, got.Status)
		}
		jane, err := c.Server.Client("jane")
		if err != nil {
			t.Fatal(err)
		}
		self := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: onNode(node)}}
		mine, err := jane.AuthorizationV1().SelfSubjectAccessReviews().Create(c.Context, self, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if mine.Status.Allowed != want {
			t.Errorf("may I, jane, list pods of %s? %+v", node, mine.Status)
		}
	}
}

func TestAccessReviewsSayWhichSelectorTheyCouldNotRead(t *testing.T) {
	c := startWithReaders(t)
	spec := authorizationv1.SubjectAccessReviewSpec{User: "jane", ResourceAttributes: onNode("n")}
	spec.ResourceAttributes.FieldSelector.RawSelector = "a=b=c==="
	got, err := c.Client.AuthorizationV1().SubjectAccessReviews().Create(c.Context, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Status.Allowed || got.Status.EvaluationError != "spec.resourceAttributes.fieldSelector ignored due to parse error" {
		t.Errorf("got %+v", got.Status)
	}
}

func TestAccessReviewsThatAskNothingAreInvalid(t *testing.T) {
	c := startWithReaders(t)
	reviews := c.Client.AuthorizationV1()
	_, err := reviews.SubjectAccessReviews().Create(c.Context, &authorizationv1.SubjectAccessReview{}, metav1.CreateOptions{})
	for _, want := range []string{
		"SubjectAccessReview.authorization.k8s.io", "exactly one of nonResourceAttributes or resourceAttributes must be specified",
		"spec.user: Invalid value: \"\": at least one of user or group must be specified",
	} {
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	local := &authorizationv1.LocalSubjectAccessReview{
		ObjectMeta: metav1.ObjectMeta{Namespace: "here"},
		Spec:       authorizationv1.SubjectAccessReviewSpec{User: "jane", ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "there"}},
	}
	_, err = reviews.LocalSubjectAccessReviews("here").Create(c.Context, local, metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "must match metadata.namespace") {
		t.Errorf("a local review of another namespace: %v", err)
	}
}

func TestRulesReviewsListWhatOneMayDo(t *testing.T) {
	c := startWithReaders(t)
	jane, err := c.Server.Client("jane")
	if err != nil {
		t.Fatal(err)
	}
	q := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: "here"}}
	got, err := jane.AuthorizationV1().SelfSubjectRulesReviews().Create(c.Context, q, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Status.ResourceRules) != 1 || got.Status.ResourceRules[0].ResourceNames[0] != "jane.here" {
		t.Errorf("got %+v", got.Status)
	}
}

func TestSelfReviewsSayWhoOneIs(t *testing.T) {
	c := startWithReaders(t)
	https := kubernetes.NewForConfigOrDie(c.Config)
	got, err := https.AuthenticationV1().SelfSubjectReviews().Create(c.Context, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	who := got.Status.UserInfo
	if who.Username != "system:admin" || !slices.Equal(who.Groups, []string{"system:masters", "system:authenticated"}) {
		t.Errorf("I am %+v", who)
	}
}

func TestTokenReviewsSayWhoseATokenIs(t *testing.T) {
	c := startWithReaders(t)
	account, err := c.Client.CoreV1().ServiceAccounts("default").Create(c.Context,
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	signed := signToken(t, c, account)
	apiservertest.Eventually(t, func() bool { // until the account is seen
		got := reviewToken(t, c, signed)
		return got.Status.Authenticated && got.Status.User.Username == "system:serviceaccount:default:robot" &&
			slices.Equal(got.Status.Audiences, []string{token.Issuer}) && slices.Contains(got.Status.User.Groups, "system:authenticated")
	})
	if got := reviewToken(t, c, "nonsense"); got.Status.Authenticated || got.Status.User.Username != "" {
		t.Errorf("nonsense is believed: %+v", got.Status)
	}
}

func reviewToken(t *testing.T, c *apiservertest.Cluster, text string) *authenticationv1.TokenReview {
	t.Helper()
	q := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: text}}
	got, err := c.Client.AuthenticationV1().TokenReviews().Create(c.Context, q, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func signToken(t *testing.T, c *apiservertest.Cluster, account *corev1.ServiceAccount) string {
	t.Helper()
	binding := token.Binding{Namespace: account.Namespace, ServiceAccount: token.Ref{Name: account.Name, UID: account.UID}}
	made, err := token.NewMaker(c.Identity.ServiceAccountKeys, token.Options{}).Make(binding, nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return made.Text
}
