package clients

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"dhow/test/clients/operator"
	v1 "dhow/test/clients/operator/v1"
	"dhow/test/clients/operator/v1beta1"
)

// operated is a namespace with the operator at work.
type operated struct {
	*testing.T
	client    client.Client
	namespace string
	warnings  []string
}

// HandleWarningHeader collects what the server warns of.
func (o *operated) HandleWarningHeader(_ int, _ string, text string) {
	o.warnings = append(o.warnings, text)
}

// startOperator runs the operator with its webhooks until the test ends.
func startOperator(t *testing.T) *operated {
	t.Helper()
	o := newOperated(t)
	s := newServing(t)
	o.install(s)
	end := o.run(&s.options)
	t.Cleanup(func() {
		o.uninstall(s)
		end()
	})
	return o
}

// newOperated has a namespace but no operator yet.
func newOperated(t *testing.T) *operated {
	t.Helper()
	name, _, err := shared.namespace(t.Cleanup, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := &operated{T: t, namespace: name}
	config := rest.CopyConfig(shared.config)
	config.WarningHandler = o
	if o.client, err = client.New(config, client.Options{Scheme: testScheme(t)}); err != nil {
		t.Fatal(err)
	}
	return o
}

// run starts one operator until the function returned is called, and returns when it serves its webhooks, if any.
func (o *operated) run(webhooks *webhook.Options) (end func()) {
	o.Helper()
	m, err := operator.New(operator.Config{Rest: shared.config, Namespace: o.namespace, Webhooks: webhooks})
	if err != nil {
		o.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Start(ctx) }()
	if webhooks != nil {
		o.eventually("the webhooks", func() error { return served(m) })
	}
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			o.Errorf("operator: %v", err)
		}
	})
}

func served(m manager.Manager) error { return m.GetWebhookServer().StartedChecker()(nil) }

func (o *operated) eventually(what string, try func() error) {
	o.Helper()
	if err := poll(what, time.Minute, try); err != nil {
		o.Fatal(err)
	}
}

func (o *operated) greeting(name, words string) *v1.Greeting {
	return &v1.Greeting{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: o.namespace}, Spec: v1.GreetingSpec{Words: words}}
}

func (o *operated) get(object client.Object, name string) error {
	return o.client.Get(o.Context(), client.ObjectKey{Namespace: o.namespace, Name: name}, object)
}

func (o *operated) create(object client.Object) {
	o.Helper()
	o.eventually("the webhooks to be known", func() error { return o.client.Create(o.Context(), object) })
}

// made waits for the ConfigMap with the words given.
func (o *operated) made(name, words string) *corev1.ConfigMap {
	o.Helper()
	made := &corev1.ConfigMap{}
	o.eventually("ConfigMap "+name, func() error {
		if err := o.get(made, name); err != nil {
			return err
		}
		if made.Data["words"] != words {
			return fmt.Errorf("it says %q, want %q", made.Data["words"], words)
		}
		return nil
	})
	return made
}

func TestAnOperatorKeepsWhatItOwns(t *testing.T) {
	o := startOperator(t)
	o.create(o.greeting("hello", "hello"))
	made := o.made("hello", "hello")
	if made.Data["language"] != "en" {
		t.Errorf("the language is %q: the mutating webhook was not asked", made.Data["language"])
	}
	fields := made.ManagedFields
	if len(fields) != 1 || fields[0].Manager != operator.Manager || fields[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Errorf("the fields belong to %+v, want the operator that applied them", fields)
	}

	if err := o.client.Delete(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	made = o.made("hello", "hello")
	made.Data["words"] = "spoilt"
	if err := o.client.Update(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	o.made("hello", "hello")

	greeting := &v1.Greeting{}
	o.eventually("the status", func() error {
		if err := o.get(greeting, "hello"); err != nil {
			return err
		}
		if greeting.Generation == 0 || greeting.Status.ObservedGeneration != greeting.Generation {
			return fmt.Errorf("generation %d, observed %d", greeting.Generation, greeting.Status.ObservedGeneration)
		}
		return nil
	})
	before := greeting.Generation
	greeting.Spec.Words = "hello again"
	if err := o.client.Update(t.Context(), greeting); err != nil {
		t.Fatal(err)
	}
	if greeting.Generation != before+1 {
		t.Errorf("generation %d after an update, want %d", greeting.Generation, before+1)
	}
	o.made("hello", "hello again")
}

func TestAnOperatorsFinalizerRunsAndItsObjectsGo(t *testing.T) {
	o := startOperator(t)
	greeting := o.greeting("short", "short")
	o.create(greeting)
	o.made("short", "short")
	if err := o.client.Delete(t.Context(), greeting); err != nil {
		t.Fatal(err)
	}
	o.eventually("the finalizer", func() error { return o.get(&corev1.ConfigMap{}, "short"+operator.Goodbye) })
	for name, object := range map[string]client.Object{"Greeting": &v1.Greeting{}, "ConfigMap": &corev1.ConfigMap{}} {
		o.eventually("the "+name+" to go", func() error {
			if err := o.get(object, "short"); !apierrors.IsNotFound(err) {
				return fmt.Errorf("it is there: %w", err)
			}
			return nil
		})
	}
}

func TestAnOperatorsWebhooksJudge(t *testing.T) {
	o := startOperator(t)
	greeting := o.greeting("judged", "these are quite a lot of words")
	o.create(greeting)
	if len(o.warnings) == 0 || o.warnings[0] != "these are long words" {
		t.Errorf("warnings %q, want the webhook's", o.warnings)
	}
	wantDenied(t, o.client.Create(t.Context(), o.greeting("none", "")),
		`admission webhook "validate.operator.example.test" denied the request: a greeting has words`)
	o.eventually("an update without a conflict", func() error {
		if err := o.get(greeting, "judged"); err != nil {
			return err
		}
		greeting.Spec.Words = "few"
		if err := o.client.Update(t.Context(), greeting); !apierrors.IsConflict(err) {
			wantDenied(t, err, `denied the request: words may not become fewer`)
			return nil
		}
		return errors.New("conflict")
	})
}

func wantDenied(t *testing.T, err error, message string) {
	t.Helper()
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), message) {
		t.Errorf("it was answered with %v, want it denied with %q", err, message)
	}
}

func TestAnOperatorsVersionsAreConverted(t *testing.T) {
	o := startOperator(t)
	old := &v1beta1.Greeting{
		ObjectMeta: metav1.ObjectMeta{Name: "old", Namespace: o.namespace},
		Spec:       v1beta1.GreetingSpec{Message: "from before"},
	}
	o.create(old)
	if old.Spec.Message != "from before" || old.Spec.Language != "en" {
		t.Errorf("created as %+v", old.Spec)
	}
	o.made("old", "from before")
	greeting := &v1.Greeting{}
	if err := o.get(greeting, "old"); err != nil {
		t.Fatal(err)
	}
	if greeting.Spec.Words != "from before" {
		t.Errorf("as v1 it says %q", greeting.Spec.Words)
	}
	o.create(o.greeting("new", "from now"))
	list := &v1beta1.GreetingList{}
	if err := o.client.List(t.Context(), list, client.InNamespace(o.namespace)); err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, item := range list.Items {
		said[item.Name] = item.Spec.Message
	}
	if len(said) != 2 || said["old"] != "from before" || said["new"] != "from now" {
		t.Errorf("as v1beta1 they say %v", said)
	}
}

func TestAnOperatorTakesOverFromItsLeader(t *testing.T) {
	o := newOperated(t)
	o.install(nil)
	first := o.run(nil)
	leader := o.leader("")
	second := o.run(nil)
	t.Cleanup(func() {
		o.uninstall(nil)
		second()
	})
	o.create(o.greeting("one", "one"))
	o.made("one", "one")
	if now := o.leader(""); now != leader {
		t.Errorf("the leader is %s, was %s", now, leader)
	}
	first()
	o.leader(leader)
	o.create(o.greeting("two", "two"))
	o.made("two", "two")
}

// leader waits for a leader other than the one given.
func (o *operated) leader(other string) (holder string) {
	o.Helper()
	o.eventually("a leader", func() error {
		lease := &coordinationv1.Lease{}
		if err := o.get(lease, "greeter"); err != nil {
			return err
		}
		if h := lease.Spec.HolderIdentity; h != nil && *h != "" && *h != other {
			holder = *h
			return nil
		}
		return errors.New("nobody holds the lease")
	})
	return holder
}
