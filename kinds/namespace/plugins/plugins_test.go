package plugins_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"dhow/api/admit/admittest"
	"dhow/kinds/namespace/plugins"
)

func TestNamespaceMustExistUnlessItIsProvided(t *testing.T) {
	client := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "there"}})
	f := informers.NewSharedInformerFactory(client, time.Hour)
	exists, provision := plugins.Exists(f, client), plugins.AutoProvision(f, client)
	f.Start(t.Context().Done())
	f.WaitForCacheSync(t.Context().Done())
	in := func(namespace string) admittest.Request {
		return admittest.Request{Object: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: namespace}}, Resource: "configmaps"}
	}
	admittest.Check(t, admittest.Run(t, exists, in("there")), "")
	admittest.Check(t, admittest.Run(t, exists, in("new")), `namespaces "new" not found`)
	admittest.Check(t, admittest.Run(t, provision, in("new")), "")
	admittest.Check(t, admittest.Run(t, exists, in("new")), "")
	admittest.Check(t, admittest.Run(t, exists, in("")), "")
}
