package flowcontrol_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"
	"k8s.io/client-go/util/retry"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/flowcontrol"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func start(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	kinds := []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), pod.Kind(pod.Config{}), serviceaccount.Kind(serviceaccount.Config{})}
	return apiservertest.Start(t, append(kinds, flowcontrol.Kinds()...), nil)
}

// writes are the FlowSchemas and when they were last written: their status aside, which the server keeps.
func writes(t *testing.T, c *apiservertest.Cluster) (all []string) {
	t.Helper()
	schemas, err := c.Client.FlowcontrolV1().FlowSchemas().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range schemas.Items {
		for _, m := range s.ManagedFields {
			if m.Subresource == "" {
				all = append(all, s.Name+" "+m.Manager+" "+string(m.Operation)+" "+m.Time.String())
			}
		}
		all = append(all, fmt.Sprint(s.Name, s.Generation, s.Annotations))
	}
	return all
}

func TestReconcile(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	reconcile := func() {
		t.Helper()
		if err := flowcontrol.Reconcile(ctx, c.Client); err != nil {
			t.Fatal(err)
		}
	}
	reconcile()
	schemas := c.Client.FlowcontrolV1().FlowSchemas()
	all, err := schemas.List(ctx, metav1.ListOptions{})
	if want := len(bootstrap.MandatoryFlowSchemas) + len(bootstrap.SuggestedFlowSchemas); err != nil || len(all.Items) != want {
		t.Fatalf("%d schemas, want %d: %v", len(all.Items), want, err)
	}
	first := writes(t, c)
	reconcile()
	if again := writes(t, c); !slices.Equal(again, first) {
		t.Errorf("a second round changed something:\n%v\n%v", first, again)
	}

	change := func(name, auto string) {
		t.Helper()
		err := retry.RetryOnConflict(wait.Backoff{Steps: 1000, Duration: time.Millisecond}, func() error { // the server itself writes to its status
			s, err := schemas.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			s.Spec.MatchingPrecedence = 77
			s.Annotations[flowcontrolv1.AutoUpdateAnnotationKey] = auto
			_, err = schemas.Update(ctx, s, metav1.UpdateOptions{})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	change("probes", "true")
	change("system-leader-election", "false")
	if err := schemas.Delete(ctx, "global-default", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	old := &flowcontrolv1.FlowSchema{ObjectMeta: metav1.ObjectMeta{Name: "from-before", Annotations: map[string]string{flowcontrolv1.AutoUpdateAnnotationKey: "true"}}}
	old.Spec.PriorityLevelConfiguration.Name = "global-default"
	if _, err := schemas.Create(ctx, old, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	apiservertest.Eventually(t, func() bool {
		reconcile()
		all, err = schemas.List(ctx, metav1.ListOptions{})
		precedences := map[string]int32{}
		for _, s := range all.Items {
			precedences[s.Name] = s.Spec.MatchingPrecedence
		}
		return err == nil && precedences["probes"] == 2 && precedences["system-leader-election"] == 77 &&
			precedences["global-default"] == 9900 && precedences["from-before"] == 0
	})
}

func TestStatusWritesTouchNothingElse(t *testing.T) {
	c := start(t)
	levels := c.Client.FlowcontrolV1().PriorityLevelConfigurations()
	p := &flowcontrolv1.PriorityLevelConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "mine"}}
	p.Spec.Type = flowcontrolv1.PriorityLevelEnablementLimited
	p.Spec.Limited = &flowcontrolv1.LimitedPriorityLevelConfiguration{LimitResponse: flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeReject}}
	p, err := levels.Create(t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.Labels, p.Spec.Limited = map[string]string{"a": "b"}, nil
	p.Status.Conditions = []flowcontrolv1.PriorityLevelConfigurationCondition{{Type: "x", Status: flowcontrolv1.ConditionTrue}}
	p, err = levels.UpdateStatus(t.Context(), p, metav1.UpdateOptions{})
	if err != nil || len(p.Labels) != 0 || p.Spec.Limited == nil || len(p.Status.Conditions) != 1 || p.Generation != 1 {
		t.Errorf("got %+v, %v", p, err)
	}
}
