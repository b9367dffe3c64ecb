package authn

import (
	"context"
	"crypto/subtle"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	corelisters "k8s.io/client-go/listers/core/v1"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	bootstraputil "k8s.io/cluster-bootstrap/token/util"
	bootstrapsecrets "k8s.io/cluster-bootstrap/util/secrets"
)

// bootstrap knows the tokens by which machines join: secrets of kube-system, of type bootstrap.kubernetes.io/token.
type bootstrap struct{ secrets corelisters.SecretLister }

// AuthenticateToken implements authenticator.Token. What is wrong with a secret is not told to who shows its token.
func (b bootstrap) AuthenticateToken(_ context.Context, text string) (*authenticator.Response, bool, error) {
	parts := bootstraputil.BootstrapTokenRegexp.FindStringSubmatch(text)
	if len(parts) != 3 {
		return nil, false, nil
	}
	id, key := parts[1], parts[2]
	secret, err := b.secrets.Secrets(metav1.NamespaceSystem).Get(bootstrapapi.BootstrapTokenSecretPrefix + id)
	if apierrors.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil || !holds(secret, id, key) {
		return nil, false, err
	}
	groups, err := bootstrapsecrets.GetGroups(secret)
	if err != nil {
		return nil, false, nil
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: bootstrapapi.BootstrapUserPrefix + id, Groups: groups}}, true, nil
}

func holds(secret *corev1.Secret, id, key string) bool {
	have := func(field string) string { return bootstrapsecrets.GetData(secret, field) }
	return secret.DeletionTimestamp == nil && secret.Type == bootstrapapi.SecretTypeBootstrapToken &&
		subtle.ConstantTimeCompare([]byte(have(bootstrapapi.BootstrapTokenSecretKey)), []byte(key)) == 1 &&
		have(bootstrapapi.BootstrapTokenIDKey) == id && !bootstrapsecrets.HasExpired(secret, time.Now()) &&
		have(bootstrapapi.BootstrapTokenUsageAuthentication) == "true"
}
