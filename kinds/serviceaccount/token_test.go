package serviceaccount_test

import (
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/apiserver/token"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

// recorder signs nothing and remembers what it was asked for.
type recorder struct {
	binding   token.Binding
	audiences []string
	valid     time.Duration
}

func (r *recorder) Make(b token.Binding, audiences []string, valid time.Duration) (token.Signed, error) {
	r.binding, r.audiences, r.valid = b, audiences, valid
	return token.Signed{Text: "signed", Expires: time.Now().Add(valid)}, nil
}

func (r *recorder) Audiences() []string { return []string{token.Issuer} }

func TestTokenRequest(t *testing.T) {
	signed := &recorder{}
	var cluster *apiservertest.Cluster
	cluster = apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), pod.Kind(pod.Config{}),
		serviceaccount.Kind(serviceaccount.Config{Issuer: signed, Client: func() kubernetes.Interface { return cluster.Client }})}, nil)
	core := cluster.Client.CoreV1()
	account, err := core.ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := core.Pods("default").Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"},
		Spec: corev1.PodSpec{ServiceAccountName: "a", Containers: []corev1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(seconds int64, ref *authenticationv1.BoundObjectReference) (*authenticationv1.TokenRequest, error) {
		return core.ServiceAccounts("default").CreateToken(t.Context(), "a", &authenticationv1.TokenRequest{
			Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds, BoundObjectRef: ref}}, metav1.CreateOptions{})
	}

	got, err := ask(1800, &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "p", UID: p.UID})
	if err != nil {
		t.Fatal(err)
	}
	if got.Status.Token != "signed" || signed.valid != 30*time.Minute || signed.binding.Pod.UID != p.UID ||
		signed.binding.ServiceAccount.UID != account.UID || signed.audiences[0] != token.Issuer {
		t.Errorf("token %+v for %+v", got.Status, signed)
	}
	if _, err := ask(5, nil); !apierrors.IsInvalid(err) {
		t.Errorf("five seconds: %v", err)
	}
	if _, err := ask(1800, &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "p", UID: "other"}); !apierrors.IsConflict(err) {
		t.Errorf("another pod: %v", err)
	}
	got, err = ask(3607, &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "p"})
	if err != nil || signed.valid != 365*24*time.Hour || signed.binding.WarnAfter == nil {
		t.Errorf("extended: %v, %s", err, signed.valid)
	}
	if told := time.Until(got.Status.ExpirationTimestamp.Time); told > 3607*time.Second {
		t.Errorf("the holder is told to ask again after %s", told)
	}
}
