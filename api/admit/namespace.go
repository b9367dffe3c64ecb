package admit

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// Namespaces finds the namespaces of requests: in the cache, or, being perhaps younger, in the server.
type Namespaces struct {
	client kubernetes.Interface
	lister corelisters.NamespaceLister
	synced func() bool
}

// NewNamespaces registers the informer that it reads.
func NewNamespaces(f informers.SharedInformerFactory, client kubernetes.Interface) *Namespaces {
	namespaces := f.Core().V1().Namespaces()
	return &Namespaces{client, namespaces.Lister(), namespaces.Informer().HasSynced}
}

// Ready waits until the cache is filled; it says whether it is.
func (n *Namespaces) Ready(ctx context.Context) bool { return Ready(ctx, n.synced) }

// Cached says whether the cache has a namespace.
func (n *Namespaces) Cached(name string) bool {
	_, err := n.lister.Get(name)
	return err == nil
}

// Get returns a namespace, read-only, or an error that can be told to clients.
func (n *Namespaces) Get(ctx context.Context, name string) (*corev1.Namespace, error) {
	ns, err := n.lister.Get(name)
	if apierrors.IsNotFound(err) {
		ns, err = n.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, apierrors.NewInternalError(err)
	}
	return ns, err
}
