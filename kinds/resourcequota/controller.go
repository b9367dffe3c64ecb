package resourcequota

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	quota "k8s.io/apiserver/pkg/quota/v1"

	"dhow/controller"
)

// watched are the resources whose objects' end is noticed at once. Others are asked for again and again.
var watched = []struct {
	object   runtime.Object
	resource schema.GroupVersionResource
}{
	{&corev1.Pod{}, corev1.SchemeGroupVersion.WithResource("pods")},
	{&corev1.Service{}, corev1.SchemeGroupVersion.WithResource("services")},
	{&corev1.PersistentVolumeClaim{}, corev1.SchemeGroupVersion.WithResource("persistentvolumeclaims")},
	{&corev1.ConfigMap{}, corev1.SchemeGroupVersion.WithResource("configmaps")},
	{&corev1.Secret{}, corev1.SchemeGroupVersion.WithResource("secrets")},
	{&corev1.ServiceAccount{}, corev1.SchemeGroupVersion.WithResource("serviceaccounts")},
	{&corev1.ReplicationController{}, corev1.SchemeGroupVersion.WithResource("replicationcontrollers")},
	{&appsv1.Deployment{}, appsv1.SchemeGroupVersion.WithResource("deployments")},
	{&appsv1.ReplicaSet{}, appsv1.SchemeGroupVersion.WithResource("replicasets")},
	{&appsv1.StatefulSet{}, appsv1.SchemeGroupVersion.WithResource("statefulsets")},
	{&appsv1.DaemonSet{}, appsv1.SchemeGroupVersion.WithResource("daemonsets")},
	{&batchv1.Job{}, batchv1.SchemeGroupVersion.WithResource("jobs")},
	{&batchv1.CronJob{}, batchv1.SchemeGroupVersion.WithResource("cronjobs")},
	{&networkingv1.Ingress{}, networkingv1.SchemeGroupVersion.WithResource("ingresses")},
	{&policyv1.PodDisruptionBudget{}, policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets")},
	{&autoscalingv2.HorizontalPodAutoscaler{}, autoscalingv2.SchemeGroupVersion.WithResource("horizontalpodautoscalers")},
	{&resourcev1.ResourceClaim{}, resourcev1.SchemeGroupVersion.WithResource("resourceclaims")},
}

// Controller counts what namespaces with quotas use. Admission counts upwards by itself; this one counts again when
// a quota changes, when objects go or shrink, and every minute.
func Controller() controller.Controller {
	charges := newRecent()
	c := controller.Controller{
		Name: "resourcequota-controller",
		Reads: []controller.Read{{Object: &corev1.ResourceQuota{}, Keys: func(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
			if q, ok := obj.(*corev1.ResourceQuota); ok {
				charges.note(q, env.Now())
			}
			return changedQuota(env, obj, old)
		}}},
		Writes: []controller.Write{
			{Group: "", Resources: []string{"resourcequotas/status"}, Verbs: []string{"update"}},
			{Group: "*", Resources: []string{"*"}, Verbs: []string{"list"}}, // count/<anything>
		},
		Resync: time.Minute,
		New:    func(env controller.Env) controller.Reconciler { return &reconciler{env: env, charges: charges} },
	}
	for _, w := range watched {
		c.Reads = append(c.Reads, controller.Read{Object: w.object, Keys: released(w.resource)})
	}
	return c
}

// changedQuota: the quota itself, and, since quotas may be counted too, those beside one that has gone.
func changedQuota(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
	q, ok := obj.(*corev1.ResourceQuota)
	if !ok {
		return nil
	}
	if was, ok := old.(*corev1.ResourceQuota); ok && apiequality.Semantic.DeepEqual(was.Spec, q.Spec) {
		return nil
	}
	return quotasIn(env, q.Namespace)
}

func quotasIn(env controller.Env, namespace string) []types.NamespacedName {
	all, err := env.Informers.Core().V1().ResourceQuotas().Lister().ResourceQuotas(namespace).List(labels.Everything())
	if err != nil {
		return nil // the indexer of this process does not fail
	}
	var keys []types.NamespacedName
	for _, q := range all {
		keys = append(keys, types.NamespacedName{Namespace: q.Namespace, Name: q.Name})
	}
	return keys
}

// released: the namespace's quotas when an object has gone, or uses something else than before. A new object was
// charged for by admission: to count it before it is seen everywhere would lose other charges.
func released(resource schema.GroupVersionResource) func(controller.Env, runtime.Object, runtime.Object) []types.NamespacedName {
	return func(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
		m, err := meta.Accessor(obj)
		if err != nil {
			return nil
		}
		if old != nil && !useDiffers(env, resource.GroupResource(), obj, old) || old == nil && exists(env, resource, m) {
			return nil
		}
		return quotasIn(env, m.GetNamespace())
	}
}

func useDiffers(env controller.Env, gr schema.GroupResource, obj, old runtime.Object) bool {
	switch gr {
	case pods, services, claims, deviceClaims:
	default:
		return false // one object is one object
	}
	measured := evaluator(gr, clock(env.Now), nil)
	now, err := measured.Usage(obj)
	if err != nil {
		return true
	}
	before, err := measured.Usage(old)
	return err != nil || !quota.Equals(now, before)
}

func exists(env controller.Env, resource schema.GroupVersionResource, m metav1.Object) bool {
	informer, err := env.Informers.ForResource(resource)
	if err != nil {
		return false
	}
	found, err := informer.Lister().ByNamespace(m.GetNamespace()).Get(m.GetName())
	if err != nil {
		return false
	}
	same, err := meta.Accessor(found)
	return err == nil && same.GetUID() == m.GetUID()
}

type reconciler struct {
	env     controller.Env
	charges *recent
	roots   sync.Map // of a group, the path of its preferred version
}

// pollEvery is how often objects are counted that no informer of this process tells of, where a quota bounds some.
const pollEvery = 2 * time.Second

// Reconcile writes what the namespace of a quota uses into its status.
func (r *reconciler) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	q, err := r.env.Informers.Core().V1().ResourceQuotas().Lister().ResourceQuotas(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		r.charges.forget(key)
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	now := r.env.Now()
	r.charges.note(q, now)
	charged, less := r.charges.charged(key, now)
	registry, polled, failed := r.registry(ctx, q)
	used, err := quota.CalculateUsage(q.Namespace, q.Spec.Scopes, q.Spec.Hard, registry, q.Spec.ScopeSelector)
	if err != nil {
		failed = err
	}
	result := controller.Result{After: less}
	if polled && (less == 0 || less > pollEvery) {
		result.After = pollEvery
	}
	if status, changed := plan(q, used, charged); changed {
		next := q.DeepCopy()
		next.Status = status
		_, err := r.env.Client.CoreV1().ResourceQuotas(q.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return controller.Result{}, fmt.Errorf("status of quota %s: %w", key, err)
		}
	}
	return result, failed
}

// plan is the status that a quota should have, and whether it has another. What could not be counted stays. What was
// charged lately may not be among what was counted: use falls at most to both together.
func plan(q *corev1.ResourceQuota, counted, charged corev1.ResourceList) (corev1.ResourceQuotaStatus, bool) {
	used := quota.Add(corev1.ResourceList{}, q.Status.Used)
	for name, amount := range counted {
		before, known := used[name]
		atMost := amount.DeepCopy()
		atMost.Add(charged[name])
		switch {
		case !known || amount.Cmp(before) >= 0:
			used[name] = amount
		case atMost.Cmp(before) < 0:
			used[name] = atMost
		}
	}
	status := corev1.ResourceQuotaStatus{
		Hard: quota.Add(corev1.ResourceList{}, q.Spec.Hard),
		Used: quota.Mask(used, quota.ResourceNames(q.Spec.Hard)),
	}
	changed := q.Status.Hard == nil || q.Status.Used == nil ||
		!apiequality.Semantic.DeepEqual(q.Spec.Hard, q.Status.Hard) || !quota.Equals(status.Used, q.Status.Used)
	return status, changed
}

// counted is the resource of a name like count/deployments.apps.
func counted(name corev1.ResourceName) (schema.GroupResource, bool) {
	resource, isCount := strings.CutPrefix(string(name), "count/")
	return schema.ParseGroupResource(resource), isCount
}
