package apiserver_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"
	aggregatorclient "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"dhow/apiserver/apiservertest"
)

func TestWhatTheServerServesItselfHasAPIServices(t *testing.T) {
	c := apiservertest.Start(t, aggregating(), nil)
	client := aggregatorclient.NewForConfigOrDie(c.Config).ApiregistrationV1().APIServices()
	priorities := map[string]int32{"v1.": 18000, "v1.discovery.k8s.io": 16200, "v1.apiextensions.k8s.io": 16700, "v1.authentication.k8s.io": 17700}
	for name, want := range priorities {
		apiservertest.Eventually(t, func() bool { // its status follows it
			got, err := client.Get(c.Context, name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			condition := helper.GetAPIServiceConditionByType(got, apiregistrationv1.Available)
			return got.Spec.GroupPriorityMinimum == want && condition != nil && condition.Reason == "Local"
		})
	}
	if _, err := client.Get(c.Context, "v1.apiregistration.k8s.io", metav1.GetOptions{}); err == nil {
		t.Error("the registration itself is registered")
	}
}

func TestCustomGroupsHaveAPIServicesWhileTheyAreDefined(t *testing.T) {
	c := apiservertest.Start(t, aggregating(), nil)
	client := aggregatorclient.NewForConfigOrDie(c.Config).ApiregistrationV1().APIServices()
	there := func() bool {
		got, err := client.Get(c.Context, "v1.example.com", metav1.GetOptions{})
		return err == nil && got.Spec.GroupPriorityMinimum == 1000
	}
	definitions := addWidgets(t, c)
	apiservertest.Eventually(t, there)
	if err := client.Delete(c.Context, "v1.example.com", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, there)
	err := definitions.ApiextensionsV1().CustomResourceDefinitions().Delete(c.Context, "widgets.example.com", metav1.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool { return !there() })
}
