package resilience

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"dhow/apiserver/apiservertest"
)

// number is a figure of the environment: DHOW_WATCHERS=1000 DHOW_WATCH_SECONDS=10 is the whole of the test.
func number(key string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(key)); err == nil {
		return n
	}
	return otherwise
}

// reflect keeps stores of what a cluster's server holds, over connections of 50 each, until ctx ends.
func reflect(ctx context.Context, group *sync.WaitGroup, c *apiservertest.Cluster, count int) []cache.Store {
	var stores []cache.Store
	var client kubernetes.Interface
	for i := range count {
		if i%50 == 0 {
			own := restclient.CopyConfig(c.Config)
			own.ContentType = "application/vnd.kubernetes.protobuf"
			own.UserAgent = fmt.Sprint(i)
			client = kubernetes.NewForConfigOrDie(own)
		}
		source := cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "configmaps", "default", fields.Everything())
		stores = append(stores, cache.NewStore(cache.MetaNamespaceKeyFunc))
		r := cache.NewReflector(source, &corev1.ConfigMap{}, stores[i], 0)
		group.Go(func() { r.RunWithContext(ctx) })
	}
	return stores
}

func holds(s cache.Store, name, value string) bool {
	o, found, err := s.GetByKey("default/" + name)
	return err == nil && found && o.(*corev1.ConfigMap).Data["a"] == value
}

func TestManyWatchersOfManyUpdatesAllSeeTheLast(t *testing.T) {
	count, seconds, objects := number("DHOW_WATCHERS", 100), number("DHOW_WATCH_SECONDS", 2), 20
	c := apiservertest.Start(t, bare(), nil)
	for i := range objects {
		create(t, c, fmt.Sprintf("c-%d", i))
	}
	ctx, stop := context.WithCancel(c.Context)
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	stores := reflect(ctx, &group, c, count)
	all := func(value string) func() bool {
		return func() bool {
			for _, s := range stores {
				for i := range objects {
					if !holds(s, fmt.Sprintf("c-%d", i), value) {
						return false
					}
				}
			}
			return true
		}
	}
	within(t, 5*time.Minute, "all watchers have listed", all("1"))
	updates, begin := 0, time.Now()
	tick := time.NewTicker(time.Second / 500)
	defer tick.Stop()
	for end := time.After(time.Duration(seconds) * time.Second); ; updates++ {
		select {
		case <-tick.C:
			update(t, c, updates%objects, fmt.Sprint(updates))
			continue
		case <-end:
		}
		break
	}
	rate := float64(updates) / time.Since(begin).Seconds()
	for i := range objects {
		update(t, c, i, "last")
	}
	last := time.Now()
	within(t, 5*time.Minute, "all watchers have the last state", all("last"))
	t.Logf("%d watchers, %.0f updates/s for %d s: all have the last %s after it was written", count, rate, seconds, time.Since(last).Round(time.Millisecond))
}

func update(t *testing.T, c *apiservertest.Cluster, i int, value string) {
	t.Helper()
	if _, err := c.Client.CoreV1().ConfigMaps("default").Update(c.Context, configMap(fmt.Sprintf("c-%d", i), value), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}
