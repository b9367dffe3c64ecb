package node

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/testing"
)

// watches counts those that a fake API server has begun, by resource. It tells nobody of what has happened between his list and his
// watch, as the real one does.
type watches struct {
	mu    sync.Mutex
	begun map[string]int
}

func watchesOf(client *fake.Clientset) *watches {
	w := &watches{begun: map[string]int{}}
	client.PrependWatchReactor("*", func(action testing.Action) (bool, watch.Interface, error) {
		var options metav1.ListOptions
		if a, ok := action.(testing.WatchActionImpl); ok {
			options = a.ListOptions
		}
		found, err := client.Tracker().Watch(action.GetResource(), action.GetNamespace(), options)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.begun[action.GetResource().Resource]++
		return err == nil, found, err
	})
	return w
}

// atLeast says whether so many have begun of each resource that the agent follows.
func (w *watches) atLeast(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, resource := range []string{"pods", "services", "configmaps", "secrets", "nodes", "runtimeclasses"} {
		if w.begun[resource] < n {
			return false
		}
	}
	return true
}

// writesStatusAlone has a fake API server take nothing but the status of a pod from who writes that, as the real one does.
func writesStatusAlone(client *fake.Clientset) {
	client.PrependReactor("update", "pods", func(action testing.Action) (bool, runtime.Object, error) {
		update, ok := action.(testing.UpdateAction)
		if !ok || action.GetSubresource() != "status" {
			return false, nil, nil
		}
		written := update.GetObject().(*corev1.Pod)
		now, err := client.Tracker().Get(action.GetResource(), action.GetNamespace(), written.Name)
		if err != nil {
			return true, nil, err
		}
		next := now.(*corev1.Pod).DeepCopy()
		next.Status = *written.Status.DeepCopy()
		if err := client.Tracker().Update(action.GetResource(), next, action.GetNamespace()); err != nil {
			return true, nil, err
		}
		now, err = client.Tracker().Get(action.GetResource(), action.GetNamespace(), written.Name)
		return true, now, err
	})
}
