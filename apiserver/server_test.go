package apiserver_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
)

// bare are kinds without rules, enough to exercise the server.
func bare() []apiserver.Kind {
	return []apiserver.Kind{
		apiserver.Define[*corev1.Namespace, *corev1.NamespaceList](corev1.SchemeGroupVersion,
			apiserver.Names{Kind: "Namespace", Resource: "namespaces", Cluster: true}, apiserver.Rules[*corev1.Namespace]{HasStatus: true}),
		apiserver.Define[*corev1.ConfigMap, *corev1.ConfigMapList](corev1.SchemeGroupVersion,
			apiserver.Names{Kind: "ConfigMap", Resource: "configmaps", ShortNames: []string{"cm"}}, apiserver.Rules[*corev1.ConfigMap]{}),
		apiserver.Define[*corev1.ServiceAccount, *corev1.ServiceAccountList](corev1.SchemeGroupVersion,
			apiserver.Names{Kind: "ServiceAccount", Resource: "serviceaccounts"}, apiserver.Rules[*corev1.ServiceAccount]{}),
		apiserver.Define[*corev1.Pod, *corev1.PodList](corev1.SchemeGroupVersion,
			apiserver.Names{Kind: "Pod", Resource: "pods"}, apiserver.Rules[*corev1.Pod]{HasStatus: true}),
		apiserver.Define[*corev1.Secret, *corev1.SecretList](corev1.SchemeGroupVersion,
			apiserver.Names{Kind: "Secret", Resource: "secrets"}, apiserver.Rules[*corev1.Secret]{}),
		apiserver.Define[*corev1.Node, *corev1.NodeList](corev1.SchemeGroupVersion,
			apiserver.Names{Kind: "Node", Resource: "nodes", Cluster: true}, apiserver.Rules[*corev1.Node]{HasStatus: true}),
	}
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"a": "1"}}
}

func TestObjectsAreCreatedReadPatchedWatchedAndDeleted(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	ctx := c.Context
	https := kubernetes.NewForConfigOrDie(c.Config)
	for name, client := range map[string]kubernetes.Interface{"in-process": c.Client, "https": https} {
		t.Run(name, func(t *testing.T) {
			maps := client.CoreV1().ConfigMaps("default")
			watch, err := maps.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=x"})
			if err != nil {
				t.Fatal(err)
			}
			defer watch.Stop()
			if _, err := maps.Create(ctx, configMap("x"), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := maps.Patch(ctx, "x", types.StrategicMergePatchType, []byte(`{"data":{"b":"2"}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			applied, err := maps.Apply(ctx, applycorev1.ConfigMap("x", "default").WithData(map[string]string{"c": "3"}), metav1.ApplyOptions{FieldManager: "me"})
			if err != nil {
				t.Fatal(err)
			}
			if len(applied.Data) != 3 {
				t.Errorf("applied data is %v", applied.Data)
			}
			if err := maps.Delete(ctx, "x", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"ADDED", "MODIFIED", "MODIFIED", "DELETED"} {
				select {
				case e := <-watch.ResultChan():
					if string(e.Type) != want {
						t.Errorf("got event %s, want %s", e.Type, want)
					}
				case <-time.After(time.Minute):
					t.Fatalf("no event %s", want)
				}
			}
		})
	}
}

func TestInformersShareTheStoresObjects(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	lister := c.Informers.Core().V1().ConfigMaps().Lister()
	c.Informers.Start(c.Context.Done())
	c.Informers.WaitForCacheSync(c.Context.Done())
	if _, err := c.Client.CoreV1().ConfigMaps("default").Create(c.Context, configMap("seen"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool {
		cm, err := lister.ConfigMaps("default").Get("seen")
		return err == nil && cm.Data["a"] == "1"
	})
}

func TestStrangersSeeOnlyHealth(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	config := *c.Config
	config.CertData, config.KeyData = nil, nil
	stranger := kubernetes.NewForConfigOrDie(&config)
	if _, err := stranger.CoreV1().ConfigMaps("default").List(c.Context, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("a stranger's list: %v, want Forbidden", err)
	}
	if err := stranger.Discovery().RESTClient().Get().AbsPath("/livez").Do(c.Context).Error(); err != nil {
		t.Errorf("a stranger's /livez: %v", err)
	}
}

func TestAUserWithoutRightsIsForbidden(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	someone, err := c.Server.Client("someone")
	if err != nil {
		t.Fatal(err)
	}
	_, err = someone.CoreV1().ConfigMaps("default").List(c.Context, metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "someone" cannot list resource "configmaps"`) {
		t.Errorf("got %v", err)
	}
}

func TestStatusAndSpecAreWrittenApart(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	nodes := c.Client.CoreV1().Nodes()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{Phase: "early"}}
	created, err := nodes.Create(c.Context, node, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if created.Status.Phase != "" {
		t.Error("create wrote a status")
	}
	created.Status.Phase, created.Spec.Unschedulable = "late", true
	updated, err := nodes.UpdateStatus(c.Context, created, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if updated.Status.Phase != "late" || updated.Spec.Unschedulable {
		t.Errorf("the status update made %+v", updated)
	}
}
