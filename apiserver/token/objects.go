package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// objects are what tokens are bound to: read from memory, and from the store only what memory does not know yet.
type objects struct {
	client   kubernetes.Interface
	accounts corelisters.ServiceAccountLister
	pods     corelisters.PodLister
	secrets  corelisters.SecretLister
	nodes    corelisters.NodeLister
}

func newObjects(c Config) *objects {
	core := c.Informers.Core().V1()
	return &objects{
		client: c.Client, accounts: core.ServiceAccounts().Lister(), pods: core.Pods().Lister(),
		secrets: core.Secrets().Lister(), nodes: core.Nodes().Lister(),
	}
}

// find asks the store where the cache knows nothing: the object may be younger than what the cache has seen.
func find[T any](known T, err error, client kubernetes.Interface, ask func() (T, error)) (T, error) {
	if err == nil || client == nil || !apierrors.IsNotFound(err) {
		return known, err
	}
	return ask()
}

func (o *objects) account(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	known, err := o.accounts.ServiceAccounts(namespace).Get(name)
	return find(known, err, o.client, func() (*corev1.ServiceAccount, error) {
		return o.client.CoreV1().ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{})
	})
}

func (o *objects) pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	known, err := o.pods.Pods(namespace).Get(name)
	return find(known, err, o.client, func() (*corev1.Pod, error) {
		return o.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	})
}

func (o *objects) secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	known, err := o.secrets.Secrets(namespace).Get(name)
	return find(known, err, o.client, func() (*corev1.Secret, error) {
		return o.client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	})
}

func (o *objects) node(ctx context.Context, name string) (*corev1.Node, error) {
	known, err := o.nodes.Get(name)
	return find(known, err, o.client, func() (*corev1.Node, error) {
		return o.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	})
}

var errRevoked = errors.New("service account token has been invalidated")

// stillHolds checks that the account and the bound object are the ones that the token was made for.
func (a *Authenticator) stillHolds(ctx context.Context, b Binding) error {
	account, err := a.objects.account(ctx, b.Namespace, b.ServiceAccount.Name)
	switch {
	case err != nil:
		return err
	case account.UID != b.ServiceAccount.UID:
		return fmt.Errorf("service account UID (%s) does not match claim (%s)", account.UID, b.ServiceAccount.UID)
	case gone(account):
		return fmt.Errorf("service account %s/%s has been deleted", b.Namespace, b.ServiceAccount.Name)
	}
	if b.Secret != nil {
		secret, err := a.objects.secret(ctx, b.Namespace, b.Secret.Name)
		if err := vouches(secret, err, b.Secret, "secret"); err != nil {
			return err
		}
	}
	if b.Pod != nil {
		pod, err := a.objects.pod(ctx, b.Namespace, b.Pod.Name)
		return vouches(pod, err, b.Pod, "pod")
	}
	if b.Node != nil {
		node, err := a.objects.node(ctx, b.Node.Name)
		return vouches(node, err, b.Node, "node")
	}
	return nil
}

// vouches says why an object does not stand for a token any more.
func vouches(obj metav1.Object, err error, ref *Ref, kind string) error {
	switch {
	case err != nil:
		return errRevoked
	case obj.GetUID() != ref.UID:
		return fmt.Errorf("%s UID (%s) does not match service account %s ref claim (%s)", kind, obj.GetUID(), kind, ref.UID)
	case gone(obj):
		return errRevoked
	}
	return nil
}

// gone: deleted for longer than its grace period and a minute of mercy.
func gone(obj metav1.Object) bool {
	t := obj.GetDeletionTimestamp()
	return t != nil && time.Since(t.Time) > leeway
}
