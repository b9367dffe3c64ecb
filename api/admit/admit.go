// Package admit has what admission plug-ins of several kinds share: which requests they look at, and the wait for
// what they read. It is no plug-in itself.
package admit

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/admission"
)

// On says whether a request is about a resource itself ("" or no subresource named) or one of its subresources.
func On(a admission.Attributes, resource schema.GroupResource, subresources ...string) bool {
	if a.GetResource().GroupResource() != resource {
		return false
	}
	if len(subresources) == 0 {
		return a.GetSubresource() == ""
	}
	return slices.Contains(subresources, a.GetSubresource())
}

// Object is the object that a request brings, if On and of the type T.
func Object[T any](a admission.Attributes, resource schema.GroupResource, subresources ...string) (T, bool) {
	var none T
	if !On(a, resource, subresources...) {
		return none, false
	}
	obj, ok := a.GetObject().(T)
	return obj, ok
}

// readyTimeout bounds the wait for a cache at the start of a server, as upstream's plug-ins do.
const readyTimeout = 10 * time.Second

// Ready waits until a cache is filled; it says whether it is. A filled one costs nothing.
func Ready(ctx context.Context, synced func() bool) bool {
	if synced() {
		return true
	}
	err := wait.PollUntilContextTimeout(ctx, 2*time.Millisecond, readyTimeout, true, func(context.Context) (bool, error) {
		return synced(), nil
	})
	return err == nil
}
