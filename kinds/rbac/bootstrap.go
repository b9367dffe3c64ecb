package rbac

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
)

// reconcilers bounds the writes under way at once at the first start.
const reconcilers = 16

// Reconcile makes the default roles and bindings, and extra ones (those of controllers), exist with at least what
// they say; what an administrator added stays, and so do objects with the annotation
// rbac.authorization.kubernetes.io/autoupdate: "false". It lists first and writes differences only. The client
// acts for a member of system:masters; kube-system and kube-public are made if they are missing.
func Reconcile(ctx context.Context, client kubernetes.Interface, extra []runtime.Object) error {
	want := append(Defaults(), marked(extra)...)
	have, err := listed(ctx, client)
	if err != nil {
		return err
	}
	preAggregate(want)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(reconcilers)
	for _, obj := range want {
		g.Go(func() error {
			known := have
			err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				err := reconcile(client, known, obj)
				known = nil // after a conflict, look again
				return err
			})
			if err != nil {
				return fmt.Errorf("reconcile %T %s: %w", obj, obj.(metav1.Object).GetName(), err)
			}
			return nil
		})
	}
	return g.Wait()
}

// Await blocks until the authorizer has heard of cluster roles and their bindings: their holders are not refused from
// then on.
func (a *Authorizer) Await(ctx context.Context, objects []runtime.Object) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !a.knows(objects) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (a *Authorizer) knows(objects []runtime.Object) bool {
	return !slices.ContainsFunc(objects, func(obj runtime.Object) bool {
		switch o := obj.(type) {
		case *rbacv1.ClusterRole:
			_, err := a.clusterRoles.Get(o.Name)
			return err != nil
		case *rbacv1.ClusterRoleBinding:
			_, known, err := a.clusterBindings.GetByKey(o.Name)
			return err != nil || !known
		}
		return false
	})
}

// marked are copies of objects with the label and annotation of default ones.
func marked(objects []runtime.Object) []runtime.Object {
	all := make([]runtime.Object, 0, len(objects))
	for _, obj := range objects {
		obj = obj.DeepCopyObject()
		if m, ok := obj.(metav1.Object); ok {
			m.SetLabels(with(m.GetLabels(), "kubernetes.io/bootstrapping", "rbac-defaults"))
			m.SetAnnotations(with(m.GetAnnotations(), rbacv1.AutoUpdateAnnotationKey, "true"))
		}
		all = append(all, obj)
	}
	return all
}

func with(set map[string]string, key, value string) map[string]string {
	set = maps.Clone(set)
	if set == nil {
		set = map[string]string{}
	}
	set[key] = value
	return set
}

// preAggregate gives aggregated roles that are about to be made the rules which the controller would find, so that
// it need not write them again. Roles that exist keep theirs.
func preAggregate(want []runtime.Object) {
	var roles []*rbacv1.ClusterRole
	for _, obj := range want {
		if r, ok := obj.(*rbacv1.ClusterRole); ok {
			roles = append(roles, r)
		}
	}
	for changed := true; changed; { // edit selects view, admin selects edit
		changed = false
		for _, r := range roles {
			if r.AggregationRule == nil {
				continue
			}
			rules, err := aggregate(r, roles)
			if err == nil && len(rules) > len(r.Rules) {
				r.Rules, changed = rules, true
			}
		}
	}
}
