package garbage

import (
	"context"
	"log/slog"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/configmap"
	"dhow/kinds/deployment"
	"dhow/kinds/event"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/replicaset"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

// collect runs a collector on a server.
func collect(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	c := serve(t)
	run(t, c, "system:admin", "system:masters")
	return c
}

func serve(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	return apiservertest.Start(t, kindsServed(), nil)
}

func kindsServed() []apiserver.Kind {
	return []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), pod.Kind(pod.Config{}), secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), configmap.Kind(), deployment.Kind(), replicaset.Kind(), event.Kind()}
}

// run collects as a user.
func run(t *testing.T, c *apiservertest.Cluster, user string, groups ...string) {
	t.Helper()
	client, err := c.Server.Client(user, groups...)
	check(t, err)
	meta, err := metadata.NewForConfig(c.Server.ClientConfig(user, groups...))
	check(t, err)
	collector, err := New(Config{Client: client, Metadata: meta, Informers: c.Informers, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	check(t, err)
	ctx, stop := context.WithCancel(c.Context)
	ended := make(chan error, 1)
	go func() { ended <- collector.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		check(t, <-ended)
	})
	check(t, collector.Ready(t.Context()))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// owner is a reference to a ConfigMap.
func owner(m *corev1.ConfigMap) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: m.Name, UID: m.UID}
}

func blocking(ref metav1.OwnerReference) metav1.OwnerReference {
	yes := true
	ref.BlockOwnerDeletion = &yes
	return ref
}

// configMap makes one in a namespace.
func configMap(t *testing.T, c *apiservertest.Cluster, in, name string, owners ...metav1.OwnerReference) *corev1.ConfigMap {
	t.Helper()
	m, err := c.Client.CoreV1().ConfigMaps(in).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owners}}, metav1.CreateOptions{})
	check(t, err)
	return m
}

func erase(t *testing.T, c *apiservertest.Cluster, name string, policy metav1.DeletionPropagation) {
	t.Helper()
	check(t, c.Client.CoreV1().ConfigMaps("default").Delete(t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &policy}))
}

// look is nil if the ConfigMap is gone.
func look(t *testing.T, c *apiservertest.Cluster, in, name string) *corev1.ConfigMap {
	t.Helper()
	m, err := c.Client.CoreV1().ConfigMaps(in).Get(t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	check(t, err)
	return m
}

func awaitGone(t *testing.T, c *apiservertest.Cluster, in, name string) {
	t.Helper()
	apiservertest.Eventually(t, func() bool { return look(t, c, in, name) == nil })
}

func TestDependantsFollowTheirOwnerThroughGenerations(t *testing.T) {
	c := collect(t)
	root := configMap(t, c, "default", "root")
	child := configMap(t, c, "default", "child", owner(root))
	configMap(t, c, "default", "grandchild", owner(child))
	began := time.Now()
	erase(t, c, "root", metav1.DeletePropagationBackground)
	awaitGone(t, c, "default", "grandchild")
	t.Logf("two generations gone after %s", time.Since(began))
}

func TestAnObjectOfAnOwnerThatNeverWasIsDeleted(t *testing.T) {
	c := collect(t)
	configMap(t, c, "default", "orphan", metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "nobody", UID: "never"})
	awaitGone(t, c, "default", "orphan")
}

func TestAnotherObjectOfTheOwnersNameDoesNotOwn(t *testing.T) {
	c := collect(t)
	m := configMap(t, c, "default", "m")
	ref := owner(m)
	ref.UID = "former"
	configMap(t, c, "default", "dependant", ref)
	awaitGone(t, c, "default", "dependant")
}

func TestWhatWasLeftWhileNobodyCollectedIsDeleted(t *testing.T) {
	c := serve(t)
	root := configMap(t, c, "default", "root")
	configMap(t, c, "default", "child", owner(root))
	erase(t, c, "root", metav1.DeletePropagationBackground)
	run(t, c, "system:admin", "system:masters")
	awaitGone(t, c, "default", "child")
}

func TestOneOfTwoOwnersIsEnough(t *testing.T) {
	c := collect(t)
	a, b := configMap(t, c, "default", "a"), configMap(t, c, "default", "b")
	configMap(t, c, "default", "both", owner(a), owner(b))
	erase(t, c, "a", metav1.DeletePropagationBackground)
	apiservertest.Eventually(t, func() bool { return len(look(t, c, "default", "both").OwnerReferences) == 1 })
	if left := look(t, c, "default", "both").OwnerReferences[0].UID; left != b.UID {
		t.Errorf("the reference to %s is left", left)
	}
	erase(t, c, "b", metav1.DeletePropagationBackground)
	awaitGone(t, c, "default", "both")
}

func TestOrphansStayWithoutTheirOwner(t *testing.T) {
	c := collect(t)
	root := configMap(t, c, "default", "root")
	configMap(t, c, "default", "child", owner(root))
	erase(t, c, "root", metav1.DeletePropagationOrphan)
	awaitGone(t, c, "default", "root")
	if child := look(t, c, "default", "child"); child == nil || len(child.OwnerReferences) > 0 {
		t.Errorf("the orphan: %+v", child)
	}
}

// waitWatched until this process' watch has shown all ConfigMaps.
func waitWatched(t *testing.T, c *apiservertest.Cluster) {
	t.Helper()
	maps := c.Informers.Core().V1().ConfigMaps().Lister()
	apiservertest.Eventually(t, func() bool {
		_, err := maps.ConfigMaps("default").Get("child")
		return err == nil
	})
}

func TestForegroundDeletionWaitsForBlockingDependants(t *testing.T) {
	c := collect(t)
	root := configMap(t, c, "default", "root")
	child, err := c.Client.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: "child", OwnerReferences: []metav1.OwnerReference{blocking(owner(root))}, Finalizers: []string{"harbour.example/pilot"},
	}}, metav1.CreateOptions{})
	check(t, err)
	waitWatched(t, c)
	erase(t, c, "root", metav1.DeletePropagationForeground)
	apiservertest.Eventually(t, func() bool {
		child = look(t, c, "default", "child")
		return child.DeletionTimestamp != nil
	})
	if look(t, c, "default", "root") == nil {
		t.Error("the owner went before its dependant")
	}
	_, err = c.Client.CoreV1().ConfigMaps("default").Patch(t.Context(), "child", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	check(t, err)
	awaitGone(t, c, "default", "root")
	awaitGone(t, c, "default", "child")
}

func TestForegroundDeletionOfADeploymentGoesDownToItsPods(t *testing.T) {
	c := collect(t)
	d, set := deploymentWithPods(t, c, 3)
	policy := metav1.DeletePropagationForeground
	began := time.Now()
	check(t, c.Client.AppsV1().Deployments("default").Delete(t.Context(), d.Name, metav1.DeleteOptions{PropagationPolicy: &policy}))
	apiservertest.Eventually(t, func() bool {
		_, err := c.Client.AppsV1().Deployments("default").Get(t.Context(), d.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	t.Logf("gone after %s", time.Since(began))
	if _, err := c.Client.AppsV1().ReplicaSets("default").Get(t.Context(), set.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("its ReplicaSet: %v", err)
	}
	if left := pods(t, c); left > 0 {
		t.Errorf("%d pods left", left)
	}
}

func TestADeploymentsPodsGoWithIt(t *testing.T) {
	c := collect(t)
	d, _ := deploymentWithPods(t, c, 50)
	policy := metav1.DeletePropagationBackground
	began := time.Now()
	check(t, c.Client.AppsV1().Deployments("default").Delete(t.Context(), d.Name, metav1.DeleteOptions{PropagationPolicy: &policy}))
	apiservertest.Eventually(t, func() bool { return pods(t, c) == 0 })
	t.Logf("50 pods gone after %s", time.Since(began))
}

func pods(t *testing.T, c *apiservertest.Cluster) int {
	t.Helper()
	left, err := c.Client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	check(t, err)
	return len(left.Items)
}

// deploymentWithPods makes them as their controllers would.
func deploymentWithPods(t *testing.T, c *apiservertest.Cluster, n int) (*appsv1.Deployment, *appsv1.ReplicaSet) {
	t.Helper()
	labels := map[string]string{"app": "web"}
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	d, err := c.Client.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}}, metav1.CreateOptions{})
	check(t, err)
	set, err := c.Client.AppsV1().ReplicaSets("default").Create(t.Context(), &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web-1", OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))}},
		Spec:       appsv1.ReplicaSetSpec{Selector: selector, Template: template}}, metav1.CreateOptions{})
	check(t, err)
	for range n {
		_, err := c.Client.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "web-1-", Labels: labels, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))}},
			Spec:       spec}, metav1.CreateOptions{})
		check(t, err)
	}
	return d, set
}

func TestAnOwnerInAnotherNamespaceIsNone(t *testing.T) {
	c := collect(t)
	_, err := c.Client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, metav1.CreateOptions{})
	check(t, err)
	elsewhere := configMap(t, c, "other", "elsewhere")
	apiservertest.Eventually(t, func() bool {
		_, err := c.Informers.Core().V1().ConfigMaps().Lister().ConfigMaps("other").Get("elsewhere")
		return err == nil
	})
	configMap(t, c, "default", "m", owner(elsewhere))
	awaitGone(t, c, "default", "m")
	want := `ownerRef [v1/ConfigMap, namespace: default, name: elsewhere, uid: ` + string(elsewhere.UID) + `] does not exist in namespace "default"`
	events, err := c.Client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "reason=OwnerRefInvalidNamespace"})
	check(t, err)
	if len(events.Items) == 0 || events.Items[0].Message != want {
		t.Errorf("events: %+v", events.Items)
	}
	if look(t, c, "other", "elsewhere") == nil {
		t.Error("the other object went, too")
	}
}

func TestAClusterWideOwnerOwnsInEveryNamespace(t *testing.T) {
	c := collect(t)
	n, err := c.Client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, metav1.CreateOptions{})
	check(t, err)
	configMap(t, c, "default", "child", metav1.OwnerReference{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID})
	root := configMap(t, c, "default", "marker-owner")
	configMap(t, c, "default", "marker", owner(root))
	erase(t, c, "marker-owner", metav1.DeletePropagationBackground)
	awaitGone(t, c, "default", "marker") // by now the other has been judged as well
	if look(t, c, "default", "child") == nil {
		t.Fatal("deleted, although its node is there")
	}
	check(t, c.Client.CoreV1().Nodes().Delete(t.Context(), "n", metav1.DeleteOptions{}))
	awaitGone(t, c, "default", "child")
}

func TestAClusterWideObjectOfAnOwnerInANamespaceStays(t *testing.T) {
	c := collect(t)
	root := configMap(t, c, "default", "root")
	_, err := c.Client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", OwnerReferences: []metav1.OwnerReference{owner(root)}}}, metav1.CreateOptions{})
	check(t, err)
	configMap(t, c, "default", "marker", owner(root))
	erase(t, c, "root", metav1.DeletePropagationBackground)
	awaitGone(t, c, "default", "marker")
	if _, err := c.Client.CoreV1().Nodes().Get(t.Context(), "n", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func TestForegroundDeletionEndsInACircle(t *testing.T) {
	c := collect(t)
	root := configMap(t, c, "default", "root")
	child := configMap(t, c, "default", "child", blocking(owner(root)))
	root.OwnerReferences = []metav1.OwnerReference{blocking(owner(child))}
	_, err := c.Client.CoreV1().ConfigMaps("default").Update(t.Context(), root, metav1.UpdateOptions{})
	check(t, err)
	waitWatched(t, c)
	erase(t, c, "root", metav1.DeletePropagationForeground)
	awaitGone(t, c, "default", "root")
	awaitGone(t, c, "default", "child")
}
