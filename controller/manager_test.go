package controller_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"dhow/controller"
	"dhow/controller/controllertest"
)

// reconcile is a Reconciler made of a function.
type reconcile func(key types.NamespacedName) (controller.Result, error)

func (r reconcile) Reconcile(_ context.Context, key types.NamespacedName) (controller.Result, error) {
	return r(key)
}

func of(r reconcile) controller.Controller {
	return controller.Controller{
		Name: "tester", Reads: []controller.Read{{Object: &corev1.ConfigMap{}}},
		New: func(controller.Env) controller.Reconciler { return r },
	}
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
}

// run runs one controller on objects that are there.
func run(t *testing.T, c controller.Controller, objects ...runtime.Object) kubernetes.Interface {
	t.Helper()
	client := fake.NewClientset(objects...)
	controllertest.Run(t, controllertest.On{Client: client, Informers: informers.NewSharedInformerFactory(client, 0)}, c)
	return client
}

const patience = 3 * time.Minute

// await takes n from a channel.
func await[T any](t *testing.T, from <-chan T, n int) []T {
	t.Helper()
	var all []T
	deadline := time.After(patience)
	for range n {
		select {
		case v := <-from:
			all = append(all, v)
		case <-deadline:
			t.Fatalf("%v after %s, want %d", all, patience, n)
		}
	}
	return all
}

func TestWhatIsThereIsReconciled(t *testing.T) {
	keys := make(chan types.NamespacedName, 10)
	run(t, of(func(key types.NamespacedName) (controller.Result, error) {
		keys <- key
		return controller.Result{}, nil
	}), configMap("a"))
	if got := await(t, keys, 1)[0]; got != (types.NamespacedName{Namespace: "ns", Name: "a"}) {
		t.Errorf("key %s", got)
	}
}

func TestDeletionIsReconciled(t *testing.T) {
	keys := make(chan types.NamespacedName, 10)
	client := run(t, of(func(key types.NamespacedName) (controller.Result, error) {
		keys <- key
		return controller.Result{}, nil
	}), configMap("a"))
	await(t, keys, 1)
	if err := client.CoreV1().ConfigMaps("ns").Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, keys, 1)
}

func TestKeysAreTheDeclaredOnes(t *testing.T) {
	keys := make(chan types.NamespacedName, 10)
	c := of(func(key types.NamespacedName) (controller.Result, error) {
		keys <- key
		return controller.Result{}, nil
	})
	c.Reads[0].Keys = func(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
		if env.Client == nil || env.Informers == nil || old != nil {
			return nil
		}
		return []types.NamespacedName{{Name: "of " + obj.(*corev1.ConfigMap).Name}}
	}
	run(t, c, configMap("a"))
	if got := await(t, keys, 1)[0]; got.Name != "of a" {
		t.Errorf("key %s", got)
	}
}

func TestErrorIsTriedAgain(t *testing.T) {
	tries := make(chan time.Time, 100)
	run(t, of(func(types.NamespacedName) (controller.Result, error) {
		tries <- time.Now()
		return controller.Result{}, errors.New("not yet")
	}), configMap("a"))
	at := await(t, tries, 4)
	if first, third := at[1].Sub(at[0]), at[3].Sub(at[2]); first < 5*time.Millisecond || third < 20*time.Millisecond {
		t.Errorf("tried again after %s, and later after %s", first, third)
	}
}

func TestPanicIsAnError(t *testing.T) {
	var fell atomic.Bool
	done := make(chan string, 10)
	run(t, of(func(key types.NamespacedName) (controller.Result, error) {
		if fell.CompareAndSwap(false, true) {
			panic("oh")
		}
		done <- key.Name
		return controller.Result{}, nil
	}), configMap("a"))
	await(t, done, 1)
}

func TestPanicInKeysEndsNothing(t *testing.T) {
	done := make(chan string, 10)
	c := of(func(key types.NamespacedName) (controller.Result, error) {
		done <- key.Name
		return controller.Result{}, nil
	})
	c.Reads[0].Keys = func(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
		name := obj.(*corev1.ConfigMap).Name
		if name == "bad" {
			panic("oh")
		}
		return []types.NamespacedName{{Name: name}}
	}
	run(t, c, configMap("bad"), configMap("good"))
	await(t, done, 1)
}

func TestAfterAsksForAnotherLook(t *testing.T) {
	looks := make(chan string, 10)
	run(t, of(func(key types.NamespacedName) (controller.Result, error) {
		looks <- key.Name
		return controller.Result{After: time.Millisecond}, nil
	}), configMap("a"))
	await(t, looks, 3)
}

func TestResyncEnqueuesTheFirstKind(t *testing.T) {
	looks := make(chan string, 100)
	c := of(func(key types.NamespacedName) (controller.Result, error) {
		looks <- key.String()
		return controller.Result{}, nil
	})
	c.Resync = 2 * time.Millisecond
	run(t, c, configMap("a"))
	if got := await(t, looks, 3); got[2] != "ns/a" {
		t.Errorf("keys %v", got)
	}
}

func TestOneKeyIsNeverReconciledTwiceAtOnce(t *testing.T) {
	var mu sync.Mutex
	busy, looks := map[string]bool{}, make(chan bool, 1000)
	c := of(func(key types.NamespacedName) (controller.Result, error) {
		mu.Lock()
		twice := busy[key.Name]
		busy[key.Name] = true
		mu.Unlock()
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			busy[key.Name] = false
		}()
		looks <- twice
		return controller.Result{}, errors.New("again")
	})
	c.Workers, c.Resync = 8, time.Millisecond
	run(t, c, configMap("a"), configMap("b"))
	for _, twice := range await(t, looks, 20) {
		if twice {
			t.Fatal("a key was reconciled twice at once")
		}
	}
}

// logged runs a reconciler that fails once, and returns what was logged of it.
func logged(t *testing.T, failure error) string {
	t.Helper()
	client := fake.NewClientset(configMap("a"))
	factory := informers.NewSharedInformerFactory(client, 0)
	var log bytes.Buffer
	var failed atomic.Bool
	done := make(chan bool, 1)
	m, err := controller.New(controller.Config{
		Client:    func(string) (kubernetes.Interface, error) { return client, nil },
		Informers: factory, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Controllers: []controller.Controller{of(func(types.NamespacedName) (controller.Result, error) {
			if failed.CompareAndSwap(false, true) {
				return controller.Result{}, failure
			}
			done <- true
			return controller.Result{}, nil
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	factory.Start(ctx.Done())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	await(t, done, 1)
	stop()
	if err := await(t, ended, 1)[0]; err != nil {
		t.Fatal(err)
	}
	return log.String()
}

func TestErrorsAreLoggedWithTheirKey(t *testing.T) {
	if log := logged(t, errors.New("no luck")); !strings.Contains(log, "controller=tester") || !strings.Contains(log, "key=ns/a") || !strings.Contains(log, "no luck") {
		t.Errorf("log %q", log)
	}
}

func TestConflictsAreRetriedQuietly(t *testing.T) {
	if log := logged(t, apierrors.NewConflict(corev1.Resource("configmaps"), "a", errors.New("changed"))); log != "" {
		t.Errorf("log %q", log)
	}
}

func TestRunEndsWhileCachesAreNotFilled(t *testing.T) {
	client := fake.NewClientset()
	m, err := controller.New(controller.Config{
		Client:    func(string) (kubernetes.Interface, error) { return client, nil },
		Informers: informers.NewSharedInformerFactory(client, 0), // never started
		Controllers: []controller.Controller{of(func(types.NamespacedName) (controller.Result, error) {
			return controller.Result{}, nil
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	stop()
	if err := await(t, ended, 1)[0]; err != nil {
		t.Error(err)
	}
	if err := m.Ready(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ready: %v", err)
	}
}

func TestControllersActAsThemselves(t *testing.T) {
	var users []string
	client := fake.NewClientset()
	_, err := controller.New(controller.Config{
		Client: func(user string) (kubernetes.Interface, error) {
			users = append(users, user)
			return client, nil
		},
		Informers: informers.NewSharedInformerFactory(client, 0),
		Controllers: []controller.Controller{of(func(types.NamespacedName) (controller.Result, error) {
			return controller.Result{}, nil
		})},
	})
	if err != nil || len(users) != 1 || users[0] != "system:controller:tester" {
		t.Errorf("users %v, %v", users, err)
	}
}

func TestUnknownKindIsAnError(t *testing.T) {
	c := of(nil)
	c.Reads = []controller.Read{{Object: &metav1.Status{}}}
	client := fake.NewClientset()
	_, err := controller.New(controller.Config{
		Client:    func(string) (kubernetes.Interface, error) { return client, nil },
		Informers: informers.NewSharedInformerFactory(client, 0), Controllers: []controller.Controller{c},
	})
	if err == nil || !strings.Contains(err.Error(), "controller tester: ") {
		t.Errorf("error %v", err)
	}
}

func TestEventsAreWritten(t *testing.T) {
	var env controller.Env
	c := of(func(types.NamespacedName) (controller.Result, error) { return controller.Result{}, nil })
	c.New = func(e controller.Env) controller.Reconciler {
		env = e
		return reconcile(func(types.NamespacedName) (controller.Result, error) {
			env.Event(configMap("a"), corev1.EventTypeWarning, "Sunk", "it has sunk")
			return controller.Result{}, nil
		})
	}
	client := run(t, c, configMap("a"))
	written, err := client.CoreV1().Events("ns").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer written.Stop()
	if list, err := client.CoreV1().Events("ns").List(t.Context(), metav1.ListOptions{}); err == nil && len(list.Items) > 0 {
		checkEvent(t, &list.Items[0])
		return
	}
	checkEvent(t, await(t, written.ResultChan(), 1)[0].Object.(*corev1.Event))
}

func checkEvent(t *testing.T, e *corev1.Event) {
	t.Helper()
	if e.Reason != "Sunk" || e.Type != corev1.EventTypeWarning || e.InvolvedObject.Name != "a" || e.Source.Component != "tester" {
		t.Errorf("event %+v", e)
	}
}
