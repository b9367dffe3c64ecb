package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/configmap"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
	"dhow/store"
)

const (
	churners = 4
	steps    = 1500
	names    = 150 // fewer than steps, so that each is made, changed and removed many times
)

// churn makes, changes and deletes ConfigMaps at random; several do so to the same ones at once.
func churn(ctx context.Context, client kubernetes.Interface, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 1))
	maps := client.CoreV1().ConfigMaps("default")
	for step := range steps {
		wanted := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: "m" + strconv.Itoa(random.IntN(names))},
			Data:       map[string]string{"by": fmt.Sprintf("%d at %d", seed, step)},
		}
		var err error
		switch random.IntN(3) {
		case 0:
			_, err = maps.Create(ctx, wanted, metav1.CreateOptions{})
		case 1:
			_, err = maps.Update(ctx, wanted, metav1.UpdateOptions{})
		case 2:
			err = maps.Delete(ctx, wanted.Name, metav1.DeleteOptions{})
		}
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err) {
			return err
		}
	}
	return nil
}

// mirror is what an event handler believes, and what it was told that made no sense.
type mirror struct {
	mu       sync.Mutex
	maps     map[string]*corev1.ConfigMap
	nonsense []string
}

func (m *mirror) handler() cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { m.set(o.(*corev1.ConfigMap), "added") },
		UpdateFunc: func(old, o any) {
			if old.(*corev1.ConfigMap).Name != o.(*corev1.ConfigMap).Name {
				m.complain("update from another object")
			}
			m.set(o.(*corev1.ConfigMap), "updated")
		},
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			delete(m.maps, o.(*corev1.ConfigMap).Name)
		},
	}
}

func (m *mirror) complain(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nonsense = append(m.nonsense, what)
}

func (m *mirror) set(o *corev1.ConfigMap, how string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, known := m.maps[o.Name]
	if known && version(old) > version(o) {
		m.nonsense = append(m.nonsense, fmt.Sprintf("%s went back from %s to %s", o.Name, old.ResourceVersion, o.ResourceVersion))
	}
	if known != (how == "updated") {
		m.nonsense = append(m.nonsense, fmt.Sprintf("%s was %s, known before: %v", o.Name, how, known))
	}
	m.maps[o.Name] = o
}

func version(o *corev1.ConfigMap) uint64 {
	rv, _ := strconv.ParseUint(o.ResourceVersion, 10, 64)
	return rv
}

// same compares what an informer's cache holds with a live list.
func same(cached []any, live []corev1.ConfigMap) bool {
	if len(cached) != len(live) {
		return false
	}
	byName := map[string]*corev1.ConfigMap{}
	for _, o := range cached {
		byName[o.(*corev1.ConfigMap).Name] = o.(*corev1.ConfigMap)
	}
	for i := range live {
		if found := byName[live[i].Name]; found == nil || !equality.Semantic.DeepEqual(*found, live[i]) {
			return false
		}
	}
	return true
}

func watched(t *testing.T, ctx context.Context, factory *store.Factory) (cache.SharedIndexInformer, *mirror) {
	t.Helper()
	m := &mirror{maps: map[string]*corev1.ConfigMap{}}
	informer := factory.Core().V1().ConfigMaps().Informer()
	if _, err := informer.AddEventHandler(m.handler()); err != nil {
		t.Error(err)
	}
	factory.Start(ctx.Done())
	return informer, m
}

func TestInformersEqualALiveListAfterThousandsOfChanges(t *testing.T) {
	var db *store.Store
	kinds := []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), pod.Kind(pod.Config{}), secret.Kind(), serviceaccount.Kind(serviceaccount.Config{}), configmap.Kind()}
	cluster := apiservertest.Start(t, kinds, func(c *apiserver.Config) { db = c.Store })
	informers, mirrors := make([]cache.SharedIndexInformer, 3), make([]*mirror, 3)
	informers[0], mirrors[0] = watched(t, cluster.Context, db.Informers())

	var churning sync.WaitGroup
	for c := range churners {
		churning.Go(func() {
			if err := churn(cluster.Context, cluster.Client, uint64(c)); err != nil {
				t.Error(err)
			}
		})
	}
	for i := 1; i < len(informers); i++ { // these start while it goes on
		informers[i], mirrors[i] = watched(t, cluster.Context, db.Informers())
		cache.WaitForCacheSync(cluster.Context.Done(), informers[i].HasSynced)
	}
	churning.Wait()

	live, err := cluster.Client.CoreV1().ConfigMaps("").List(cluster.Context, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(live.Items) < names/10 {
		t.Fatalf("only %d objects are left: this compares little", len(live.Items))
	}
	for i, informer := range informers {
		apiservertest.Eventually(t, func() bool { return same(informer.GetStore().List(), live.Items) })
		m := mirrors[i]
		apiservertest.Eventually(t, func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			var believed []any
			for _, o := range m.maps {
				believed = append(believed, o)
			}
			return same(believed, live.Items)
		})
		if len(m.nonsense) > 0 {
			t.Errorf("informer %d: %d events made no sense: %v …", i, len(m.nonsense), m.nonsense[0])
		}
	}
}
