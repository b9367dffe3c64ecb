package namespace

import (
	"context"
	"errors"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"

	"dhow/api/admit"
)

// Lifecycle lets objects be made only in namespaces that exist and are not being deleted, and keeps the cluster's
// own namespaces from being deleted.
//
// It is not the library's plug-in of the same name: that one sleeps for 50 ms when its cache does not know the
// namespace, which here is a few milliseconds young at most. This one asks storage at once.
func Lifecycle(f informers.SharedInformerFactory, client kubernetes.Interface) admission.Interface {
	namespaces := f.Core().V1().Namespaces()
	namespaces.Informer()
	return &lifecycle{
		Handler: admission.NewHandler(admission.Create, admission.Delete),
		lister:  namespaces.Lister(), client: client, deleted: utilcache.NewLRUExpireCache(100),
	}
}

type lifecycle struct {
	*admission.Handler
	lister corelisters.NamespaceLister
	client kubernetes.Interface
	// deleted are the namespaces that a client lately asked to delete: what the cache says of them may be old.
	deleted *utilcache.LRUExpireCache
}

const deletedFor = 30 * time.Second

var (
	_ admission.MutationInterface = &lifecycle{}

	resource = corev1.Resource("namespaces")
	immortal = sets.New(metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic)
)

// Admit refuses; it changes nothing. It is the first of all plug-ins, so that nobody works for what cannot be.
func (l *lifecycle) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetResource().GroupResource() == resource {
		return l.admitNamespace(a)
	}
	if a.GetNamespace() == "" || a.GetOperation() != admission.Create || isReview(a) {
		return nil
	}
	n, err := l.find(ctx, a.GetNamespace())
	switch {
	case apierrors.IsNotFound(err):
		return err
	case err != nil:
		return apierrors.NewInternalError(err)
	case n.Status.Phase == corev1.NamespaceTerminating:
		return terminating(a)
	}
	return nil
}

func (l *lifecycle) admitNamespace(a admission.Attributes) error {
	if a.GetOperation() != admission.Delete {
		return nil
	}
	if immortal.Has(a.GetName()) {
		return apierrors.NewForbidden(resource, a.GetName(), errors.New("this namespace may not be deleted"))
	}
	l.deleted.Add(a.GetName(), true, deletedFor)
	return nil
}

// isReview: whether a namespace exists is not for everybody to know.
func isReview(a admission.Attributes) bool {
	return admit.On(a, authorizationv1.Resource("localsubjectaccessreviews"))
}

func (l *lifecycle) find(ctx context.Context, name string) (*corev1.Namespace, error) {
	n, err := l.lister.Get(name)
	if err == nil {
		if _, doubtful := l.deleted.Get(name); !doubtful || n.Status.Phase == corev1.NamespaceTerminating {
			return n, nil
		}
	} else if !apierrors.IsNotFound(err) {
		return nil, err
	}
	return l.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
}

func terminating(a admission.Attributes) error {
	err := admission.NewForbidden(a, fmt.Errorf("unable to create new content in namespace %s because it is being terminated", a.GetNamespace()))
	var status *apierrors.StatusError
	if errors.As(err, &status) && status.ErrStatus.Details != nil {
		status.ErrStatus.Details.Causes = append(status.ErrStatus.Details.Causes, metav1.StatusCause{
			Type: corev1.NamespaceTerminatingCause, Field: "metadata.namespace",
			Message: fmt.Sprintf("namespace %s is being terminated", a.GetNamespace()),
		})
	}
	return err
}
