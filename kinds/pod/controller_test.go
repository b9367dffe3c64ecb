package pod_test

import (
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/apiserver/apiservertest"
	"dhow/controller/controllertest"
	"dhow/kinds/pod"
)

func TestPodsOfANodeThatIsGoneAreDeletedAfterQuarantine(t *testing.T) {
	cluster := start(t)
	ctx, core := t.Context(), cluster.Client.CoreV1()
	var later atomic.Int64
	controllertest.Run(t, controllertest.On{
		Client: cluster.Client, Informers: cluster.Informers,
		Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) },
	}, pod.Controller())
	must(core.Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1"}}, metav1.CreateOptions{}))(t)
	for _, name := range []string{"kept", "lost"} {
		must(core.Pods("default").Create(ctx, newPod(name), metav1.CreateOptions{}))(t)
	}
	bind(t, cluster, "kept", "w1")
	bind(t, cluster, "lost", "w0")
	apiservertest.Eventually(t, func() bool {
		later.Add(int64(time.Minute))
		passing := &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: "w"}} // makes it look again
		must(core.Nodes().Create(ctx, passing, metav1.CreateOptions{}))(t)
		_, err := core.Pods("default").Get(ctx, "lost", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	must(core.Pods("default").Get(ctx, "kept", metav1.GetOptions{}))(t)
}

func TestPodsGoingWithoutANodeEndAtOnce(t *testing.T) {
	cluster := start(t)
	ctx, pods := t.Context(), cluster.Client.CoreV1().Pods("default")
	controllertest.Run(t, controllertest.On{Client: cluster.Client, Informers: cluster.Informers}, pod.Controller())
	held := newPod("held")
	held.Finalizers = []string{"example.com/held"}
	must(pods.Create(ctx, held, metav1.CreateOptions{}))(t)
	if err := pods.Delete(ctx, "held", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool {
		p, err := pods.Get(ctx, "held", metav1.GetOptions{})
		return err == nil && p.Status.Phase == corev1.PodFailed
	})
}
