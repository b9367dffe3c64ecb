package serviceaccount

import (
	"bytes"
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/apiserver/token"
	"dhow/controller"
)

// LegacyIssuer signs tokens without an end; token.Maker does.
type LegacyIssuer interface {
	MakeLegacy(namespace string, account token.Ref, secret string) (string, error)
}

// TokenSecrets fills secrets of type kubernetes.io/service-account-token, which people make for clients that cannot ask
// for tokens, and removes those whose account is gone. Its keys are secrets.
func TokenSecrets(issuer LegacyIssuer, rootCA []byte) controller.Controller {
	return controller.Controller{
		Name: "service-account-token-controller",
		Reads: []controller.Read{
			{Object: &corev1.Secret{}, Keys: ifTokenSecret},
			{Object: &corev1.ServiceAccount{}, Keys: secretsOfAccount},
		},
		Writes: []controller.Write{
			{Resources: []string{"secrets"}, Verbs: []string{"update", "delete"}},
			{Resources: []string{"serviceaccounts"}, Verbs: []string{"get"}},
		},
		Workers: 1,
		New: func(env controller.Env) controller.Reconciler {
			return &tokenSecrets{env, issuer, rootCA}
		},
	}
}

func ifTokenSecret(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	secret := obj.(*corev1.Secret)
	if secret.Type != corev1.SecretTypeServiceAccountToken {
		return nil
	}
	return []types.NamespacedName{{Namespace: secret.Namespace, Name: secret.Name}}
}

// secretsOfAccount are the token secrets that name an account.
func secretsOfAccount(env controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	account := obj.(*corev1.ServiceAccount)
	all, err := env.Informers.Core().V1().Secrets().Lister().Secrets(account.Namespace).List(labels.Everything())
	if err != nil {
		return nil // a lister over a cache of the right type cannot fail
	}
	var keys []types.NamespacedName
	for _, secret := range all {
		if secret.Annotations[corev1.ServiceAccountNameKey] == account.Name {
			keys = append(keys, ifTokenSecret(env, secret, nil)...)
		}
	}
	return keys
}

type tokenSecrets struct {
	env    controller.Env
	issuer LegacyIssuer
	rootCA []byte
}

// Reconcile implements controller.Reconciler.
func (r *tokenSecrets) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	secret, err := r.env.Informers.Core().V1().Secrets().Lister().Secrets(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) || err == nil && (secret.DeletionTimestamp != nil || secret.Type != corev1.SecretTypeServiceAccountToken) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	account, err := r.account(ctx, secret)
	if err != nil {
		return controller.Result{}, err
	}
	if account == nil {
		return controller.Result{}, r.remove(ctx, secret)
	}
	return controller.Result{}, r.fill(ctx, secret, account)
}

// account is whose token a secret holds; nil if there is no such account, or another of its name.
func (r *tokenSecrets) account(ctx context.Context, secret *corev1.Secret) (*corev1.ServiceAccount, error) {
	name, uid := secret.Annotations[corev1.ServiceAccountNameKey], types.UID(secret.Annotations[corev1.ServiceAccountUIDKey])
	account, err := r.env.Informers.Core().V1().ServiceAccounts().Lister().ServiceAccounts(secret.Namespace).Get(name)
	if apierrors.IsNotFound(err) { // it may be younger than what the cache has seen
		account, err = r.env.Client.CoreV1().ServiceAccounts(secret.Namespace).Get(ctx, name, metav1.GetOptions{})
	}
	if apierrors.IsNotFound(err) || err == nil && uid != "" && uid != account.UID {
		return nil, nil
	}
	return account, err
}

func (r *tokenSecrets) remove(ctx context.Context, secret *corev1.Secret) error {
	err := r.env.Client.CoreV1().Secrets(secret.Namespace).Delete(ctx, secret.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &secret.UID, ResourceVersion: &secret.ResourceVersion},
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// fill gives a secret what its users look for. A token that is there stays, whichever key has signed it.
func (r *tokenSecrets) fill(ctx context.Context, secret *corev1.Secret, account *corev1.ServiceAccount) error {
	have := secret.Data
	full := bytes.Equal(have[corev1.ServiceAccountRootCAKey], r.rootCA) &&
		string(have[corev1.ServiceAccountNamespaceKey]) == secret.Namespace && len(have[corev1.ServiceAccountTokenKey]) > 0
	if full && secret.Annotations[corev1.ServiceAccountUIDKey] == string(account.UID) {
		return nil
	}
	next := secret.DeepCopy()
	metav1.SetMetaDataAnnotation(&next.ObjectMeta, corev1.ServiceAccountUIDKey, string(account.UID))
	if next.Data == nil {
		next.Data = map[string][]byte{}
	}
	next.Data[corev1.ServiceAccountRootCAKey] = r.rootCA
	next.Data[corev1.ServiceAccountNamespaceKey] = []byte(secret.Namespace)
	if len(next.Data[corev1.ServiceAccountTokenKey]) == 0 {
		text, err := r.issuer.MakeLegacy(secret.Namespace, token.Ref{Name: account.Name, UID: account.UID}, secret.Name)
		if err != nil {
			return err
		}
		next.Data[corev1.ServiceAccountTokenKey] = []byte(text)
	}
	_, err := r.env.Client.CoreV1().Secrets(secret.Namespace).Update(ctx, next, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
