package resourcequota_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestCountingMeanwhileLosesNoCharge(t *testing.T) {
	client := start(t)
	namespace := bounded(t, client, `{hard: {configmaps: "5"}}`)
	maps := client.CoreV1().ConfigMaps(namespace)
	var live, most atomic.Int32
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 20 {
				name := fmt.Sprintf("m%d-%d", worker, i)
				_, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
				if apierrors.IsForbidden(err) {
					continue
				}
				if err != nil && !apierrors.IsConflict(err) {
					t.Error(err)
				}
				if err != nil {
					continue
				}
				for now := live.Add(1); now > most.Load(); {
					most.CompareAndSwap(most.Load(), now)
				}
				live.Add(-1)
				if err := maps.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if most.Load() > 5 {
		t.Errorf("%d at once", most.Load())
	}
	used(t, client, namespace, "configmaps", "0")
}

func TestObjectsThatNothingWatchesAreCountedToo(t *testing.T) {
	client := start(t)
	namespace := bounded(t, client, `{hard: {count/networkpolicies.networking.k8s.io: "2"}}`)
	policies := client.NetworkingV1().NetworkPolicies(namespace)
	if _, err := policies.Create(t.Context(), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	used(t, client, namespace, "count/networkpolicies.networking.k8s.io", "1")
	if err := policies.Delete(t.Context(), "p", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	used(t, client, namespace, "count/networkpolicies.networking.k8s.io", "0")
}
