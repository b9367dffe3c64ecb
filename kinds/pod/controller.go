package pod

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/controller"
)

// collectEvery is how often all pods are looked at for what no single event tells, such as too many ended ones.
const collectEvery = 20 * time.Second

// Controller deletes pods that nobody else will: those of nodes that are gone, those that are going and never had a
// node, those that hang on nodes out of service, and the oldest ended ones when there are too many. It has one key,
// the whole cluster.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "pod-garbage-collector",
		Reads: []controller.Read{
			{Object: &corev1.Pod{}, Keys: whenStray},
			{Object: &corev1.Node{}, Keys: whenNodesChange},
		},
		Writes: []controller.Write{
			{Resources: []string{"pods"}, Verbs: []string{"delete"}},
			{Resources: []string{"pods/status"}, Verbs: []string{"update"}},
		},
		Workers: 1,
		New: func(env controller.Env) controller.Reconciler {
			return &collector{env: env, missing: map[string]time.Time{}}
		},
	}
}

// everything is the only key.
func everything() []types.NamespacedName { return []types.NamespacedName{{}} }

// whenStray: a pod that is going without a node, or whose node is not there.
func whenStray(env controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	pod := obj.(*corev1.Pod)
	if pod.Spec.NodeName == "" {
		if pod.DeletionTimestamp == nil {
			return nil
		}
		return everything()
	}
	if _, err := env.Informers.Core().V1().Nodes().Lister().Get(pod.Spec.NodeName); err == nil {
		return nil
	}
	return everything()
}

// whenNodesChange: a node has come or gone, or has been put out of service.
func whenNodesChange(_ controller.Env, obj, old runtime.Object) []types.NamespacedName {
	if old == nil || outOfService(obj.(*corev1.Node)) {
		return everything()
	}
	return nil
}

type collector struct {
	env     controller.Env
	missing map[string]time.Time // nodes that pods name and that are not there, since when; the one worker's
}

// Reconcile implements controller.Reconciler.
func (c *collector) Reconcile(ctx context.Context, _ types.NamespacedName) (controller.Result, error) {
	core := c.env.Informers.Core().V1()
	pods, err := core.Pods().Lister().List(labels.Everything())
	if err != nil {
		return controller.Result{}, err
	}
	nodes, err := core.Nodes().Lister().List(labels.Everything())
	if err != nil {
		return controller.Result{}, err
	}
	todo := plan(pods, nodes, c.missing, c.env.Now())
	c.missing = todo.missing
	var failed error
	for _, d := range todo.doomed {
		failed = errors.Join(failed, c.collect(ctx, d))
	}
	return controller.Result{After: todo.after}, failed
}

// collect ends one pod at once, if its node is truly gone.
func (c *collector) collect(ctx context.Context, d doom) error {
	if d.why == nodeGone {
		_, err := c.env.Client.CoreV1().Nodes().Get(ctx, d.pod.Spec.NodeName, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return err // there after all, or unknown
		}
	}
	pods := c.env.Client.CoreV1().Pods(d.pod.Namespace)
	if !phaseEnded(d.pod) {
		_, err := pods.UpdateStatus(ctx, failedPod(d), metav1.UpdateOptions{})
		if err != nil {
			return ignoreGone(err)
		}
	}
	now := int64(0)
	return ignoreGone(pods.Delete(ctx, d.pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &d.pod.UID},
	}))
}

func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
