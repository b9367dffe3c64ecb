package priorityclass_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/api/admit/admittest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/priorityclass"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func start(t *testing.T) kubernetes.Interface {
	t.Helper()
	client := apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), pod.Kind(pod.Config{}),
		serviceaccount.Kind(serviceaccount.Config{}), priorityclass.Kind()}, func(c *apiserver.Config) {
		c.Admission = func(client kubernetes.Interface, f informers.SharedInformerFactory) ([]admission.Interface, error) {
			return []admission.Interface{priorityclass.Admission(f, client)}, nil
		}
	}).Client
	for range 2 { // the second time finds them
		if err := priorityclass.Reconcile(t.Context(), client); err != nil {
			t.Fatal(err)
		}
	}
	return client
}

func TestPodsGetThePriorityOfTheirClass(t *testing.T) {
	client := start(t)
	make := func(text string) error {
		_, err := client.SchedulingV1().PriorityClasses().Create(t.Context(), admittest.YAML[schedulingv1.PriorityClass](t, text), metav1.CreateOptions{})
		return err
	}
	admittest.Check(t, make(`{metadata: {name: high}, value: 1000, preemptionPolicy: Never}`), "")
	run := func(spec string) (*corev1.Pod, error) {
		p := admittest.YAML[corev1.Pod](t, `{metadata: {generateName: p-}, spec: `+spec+`}`)
		p.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}}
		return client.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{})
	}
	for name, c := range map[string]struct {
		spec, err string
		priority  int32
		policy    corev1.PreemptionPolicy
	}{
		"none":         {`{}`, "", 0, corev1.PreemptLowerPriority},
		"high":         {`{priorityClassName: high}`, "", 1000, corev1.PreemptNever},
		"system":       {`{priorityClassName: system-node-critical}`, "", 2000001000, corev1.PreemptLowerPriority},
		"same number":  {`{priorityClassName: high, priority: 1000}`, "", 1000, corev1.PreemptNever},
		"missing":      {`{priorityClassName: x}`, "no PriorityClass with name x was found", 0, ""},
		"own number":   {`{priority: 5}`, "the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name", 0, ""},
		"other policy": {`{preemptionPolicy: Never}`, "the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := run(c.spec)
			admittest.Check(t, err, c.err)
			if err == nil && (*p.Spec.Priority != c.priority || *p.Spec.PreemptionPolicy != c.policy) {
				t.Errorf("priority %d, %s", *p.Spec.Priority, *p.Spec.PreemptionPolicy)
			}
		})
	}

	admittest.Check(t, make(`{metadata: {name: usual}, value: 7, globalDefault: true}`), "")
	apiservertest.Eventually(t, func() bool {
		p, err := run(`{}`)
		return err == nil && *p.Spec.Priority == 7 && p.Spec.PriorityClassName == "usual"
	})
	admittest.Check(t, make(`{metadata: {name: second}, value: 8, globalDefault: true}`), "PriorityClass usual is already marked as default. Only one default can exist")
}

func TestRulesOfClasses(t *testing.T) {
	classes := start(t).SchedulingV1().PriorityClasses()
	for name, c := range map[string]struct{ class, want string }{
		"too high": {`{metadata: {name: a}, value: 1000000001}`, `value: Forbidden: maximum allowed value of a user defined priority is 1000000000`},
		"reserved": {`{metadata: {name: system-x}, value: 1}`, `priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class`},
		"policy":   {`{metadata: {name: a}, value: 1, preemptionPolicy: Sometimes}`, `preemptionPolicy: Unsupported value: "Sometimes": supported values: "PreemptLowerPriority", "Never"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := classes.Create(t.Context(), admittest.YAML[schedulingv1.PriorityClass](t, c.class), metav1.CreateOptions{})
			admittest.Check(t, err, c.want)
		})
	}
	err := classes.Delete(t.Context(), "system-node-critical", metav1.DeleteOptions{})
	admittest.Check(t, err, "this is a system priority class and cannot be deleted")
	c, err := classes.Get(t.Context(), "system-node-critical", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Value++
	_, err = classes.Update(t.Context(), c, metav1.UpdateOptions{})
	admittest.Check(t, err, "value: Forbidden: may not be changed in an update.")
}
