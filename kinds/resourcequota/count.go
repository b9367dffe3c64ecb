package resourcequota

import (
	"context"
	"encoding/json"
	"fmt"
	"path"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/quota/v1/generic"
)

// registry has what measures the resources that a quota bounds. Those that nobody serves are left out. polled says
// whether there are some whose objects were asked for.
func (r *reconciler) registry(ctx context.Context, q *corev1.ResourceQuota) (measures quota.Registry, polled bool, failed error) {
	all := generic.NewRegistry(nil)
	known := map[schema.GroupResource]schema.GroupVersionResource{
		corev1.Resource("resourcequotas"): corev1.SchemeGroupVersion.WithResource("resourcequotas"),
	}
	for _, w := range watched {
		known[w.resource.GroupResource()] = w.resource
	}
	cached := func(gr schema.GroupResource) generic.ListFuncByNamespace { return r.cached(known[gr]) }
	for gr := range known {
		all.Add(evaluator(gr, clock(r.env.Now), cached))
	}
	for name := range q.Spec.Hard {
		gr, isCount := counted(name)
		if _, has := known[gr]; has || !isCount || ignored(gr) {
			continue
		}
		objects, err := r.listed(ctx, gr, q.Namespace)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			failed = fmt.Errorf("count %s: %w", gr, err)
		default:
			here := func(string) ([]runtime.Object, error) { return objects, nil }
			all.Add(generic.NewObjectCountEvaluator(gr, here, ""))
			polled = true
		}
	}
	return all, polled, failed
}

// cached lists what this process's informers know.
func (r *reconciler) cached(resource schema.GroupVersionResource) generic.ListFuncByNamespace {
	return func(namespace string) ([]runtime.Object, error) {
		informer, err := r.env.Informers.ForResource(resource)
		if err != nil {
			return nil, err
		}
		return informer.Lister().ByNamespace(namespace).List(labels.Everything())
	}
}

// metadataOnly asks for lists without what objects hold.
const metadataOnly = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// listed asks the API server for objects of a resource that this process has no informer of, such as a custom one.
func (r *reconciler) listed(ctx context.Context, gr schema.GroupResource, namespace string) ([]runtime.Object, error) {
	root, err := r.root(gr)
	if err != nil {
		return nil, err
	}
	data, err := r.env.Client.Discovery().RESTClient().Get().
		AbsPath(root, "namespaces", namespace, gr.Resource).
		Param("resourceVersion", "0").SetHeader("Accept", metadataOnly).DoRaw(ctx) // from the server's cache
	if err != nil {
		r.roots.Delete(gr.Group) // perhaps another version is served now
		return nil, err
	}
	var list metav1.PartialObjectMetadataList
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("list of %s: %w", gr, err)
	}
	objects := make([]runtime.Object, len(list.Items))
	for i := range list.Items {
		objects[i] = &list.Items[i]
	}
	return objects, nil
}

// root is the path of the version of a group that the server prefers.
func (r *reconciler) root(gr schema.GroupResource) (string, error) {
	if gr.Group == "" {
		return "/api/v1", nil
	}
	if known, ok := r.roots.Load(gr.Group); ok {
		return known.(string), nil
	}
	groups, err := r.env.Client.Discovery().ServerGroups()
	if err != nil {
		return "", err
	}
	for _, g := range groups.Groups {
		if g.Name == gr.Group {
			root := path.Join("/apis", g.PreferredVersion.GroupVersion)
			r.roots.Store(gr.Group, root)
			return root, nil
		}
	}
	return "", apierrors.NewNotFound(gr, "")
}
