package namespace

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
)

// sweeper deletes what is in a namespace, of whatever kind.
type sweeper struct {
	discover func() ([]*metav1.APIResourceList, error)
	content  metadata.Interface
}

// content is what a pass has found in a namespace and what of it is left.
type content struct {
	any        bool // there was something
	left       map[schema.GroupVersionResource]int
	finalizers map[string]int // objects left that wait for it

	discovery, parsing error
	failures           []error
}

// err says why the pass is not to be trusted, if so.
func (c content) err() error {
	return errors.Join(append([]error{c.discovery, c.parsing}, c.failures...)...)
}

var podsResource = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// sweep deletes the pods, and once they are gone, the rest: network policies and accounts outlive those who need them.
func (s sweeper) sweep(ctx context.Context, namespace string) content {
	c := content{left: map[schema.GroupVersionResource]int{}, finalizers: map[string]int{}}
	lists, err := s.discover() // some groups may be known although others are not
	c.discovery = err
	resources, err := discovery.GroupVersionResources(discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"delete", "list"}}, lists))
	c.parsing = err
	if _, served := resources[podsResource]; served {
		s.empty(ctx, namespace, podsResource, &c)
		if len(c.left) > 0 || len(c.failures) > 0 {
			return c
		}
	}
	delete(resources, podsResource)
	for resource := range resources {
		s.empty(ctx, namespace, resource, &c)
	}
	return c
}

// empty deletes the objects of one resource and notes those that stay for a while.
func (s sweeper) empty(ctx context.Context, namespace string, resource schema.GroupVersionResource, c *content) {
	client := s.content.Resource(resource).Namespace(namespace)
	left, err := purge(ctx, client)
	if err != nil {
		c.failures = append(c.failures, fmt.Errorf("%s in namespace %s: %w", resource.GroupResource(), namespace, err))
		return
	}
	if left == nil {
		return
	}
	c.any = true
	waiting := false
	for _, o := range left.Items {
		waiting = waiting || o.DeletionTimestamp != nil || len(o.Finalizers) > 0
		for _, f := range o.Finalizers {
			c.finalizers[f]++
		}
	}
	if len(left.Items) > 0 {
		c.left[resource] = len(left.Items)
	}
	if len(left.Items) > 0 && !waiting {
		c.failures = append(c.failures, fmt.Errorf("unexpected items still remain in namespace: %s for gvr: %v", namespace, resource))
	}
}

// purge deletes what one resource has in a namespace; it returns what is left then, nil if there was nothing.
func purge(ctx context.Context, client metadata.ResourceInterface) (*metav1.PartialObjectMetadataList, error) {
	all, err := list(ctx, client)
	if err != nil || len(all.Items) == 0 {
		return nil, err
	}
	if !allEnding(all.Items) {
		if err := removeCollection(ctx, client, all.Items); err != nil {
			return nil, err
		}
		return list(ctx, client)
	}
	return all, nil
}

func list(ctx context.Context, client metadata.ResourceInterface) (*metav1.PartialObjectMetadataList, error) {
	all, err := client.List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) { // a kind that is gone since, or cannot be listed
		return &metav1.PartialObjectMetadataList{}, nil
	}
	return all, err
}

func allEnding(objects []metav1.PartialObjectMetadata) bool {
	for _, o := range objects {
		if o.DeletionTimestamp == nil {
			return false
		}
	}
	return true
}

// removeCollection deletes all at once, or one by one where that is not served.
func removeCollection(ctx context.Context, client metadata.ResourceInterface, all []metav1.PartialObjectMetadata) error {
	background := metav1.DeletePropagationBackground // the garbage collector has nothing to keep here
	options := metav1.DeleteOptions{PropagationPolicy: &background}
	err := client.DeleteCollection(ctx, options, metav1.ListOptions{})
	if !apierrors.IsNotFound(err) && !apierrors.IsMethodNotSupported(err) {
		return err
	}
	for _, o := range all {
		if err := client.Delete(ctx, o.Name, options); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsMethodNotSupported(err) {
			return err
		}
	}
	return nil
}
