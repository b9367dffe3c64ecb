//go:build vm

package clock

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/apiserver/token"
	"dhow/kinds/configmap"
	"dhow/kinds/event"
	"dhow/kinds/flowcontrol"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

// jump sets the machine's clock.
func jump(t *testing.T, by time.Duration) {
	t.Helper()
	to := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
	if err := unix.Settimeofday(&to); err != nil {
		t.Fatal(err)
	}
}

func TestTheServerGoesOnWhenTheClockJumps(t *testing.T) {
	c := start(t)
	remote, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	maps := remote.CoreV1().ConfigMaps("default")
	seen, err := maps.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer seen.Stop()
	event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e"}, InvolvedObject: corev1.ObjectReference{Namespace: "default"}}
	if _, err := remote.CoreV1().Events("default").Create(t.Context(), event, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	hourly := tokenOf(t, c)
	for i, step := range []struct {
		by      time.Duration
		believe bool // the token of an hour
	}{{0, true}, {24 * time.Hour, false}, {-24 * time.Hour, true}, {30 * 24 * time.Hour, false}, {-30 * 24 * time.Hour, true}} {
		jump(t, step.by)
		name := fmt.Sprintf("m-%d", i)
		if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatalf("jump by %v: %v", step.by, err)
		}
		for added := range seen.ResultChan() {
			if m, ok := added.Object.(*corev1.ConfigMap); ok && m.Name == name {
				break
			}
		}
		if got := believed(t, c, hourly); got != step.believe {
			t.Errorf("jump by %v: the token is believed: %v", step.by, got)
		}
		if _, err := remote.CoreV1().Events("default").Get(t.Context(), "e", metav1.GetOptions{}); err != nil {
			t.Errorf("jump by %v: its hour is not over: %v", step.by, err)
		}
		many(t, remote)
	}
}

// start runs a server with priority and fairness, and accounts whose tokens are its own.
func start(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	var c *apiservertest.Cluster
	kinds := append(flowcontrol.Kinds(), namespace.Kind(), configmap.Kind(), event.Kind(), secret.Kind(), node.Kind(node.Config{}), pod.Kind(pod.Config{}))
	c = apiservertest.Start(t, kinds, func(config *apiserver.Config) {
		config.Kinds = append(config.Kinds, serviceaccount.Kind(serviceaccount.Config{
			Issuer: token.NewMaker(config.Identity.ServiceAccountKeys, token.Options{}),
			Client: func() kubernetes.Interface { return c.Client },
		}))
	})
	return c
}

// tokenOf is good for an hour.
func tokenOf(t *testing.T, c *apiservertest.Cluster) string {
	t.Helper()
	accounts := c.Client.CoreV1().ServiceAccounts("default")
	if _, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "ann"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r, err := accounts.CreateToken(t.Context(), "ann", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r.Status.Token
}

// believed asks until the answer that is remembered for ten seconds is over.
func believed(t *testing.T, c *apiservertest.Cluster, token string) bool {
	t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := false
	for range 12 {
		r, err := c.Client.AuthenticationV1().TokenReviews().Create(t.Context(),
			&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		last = r.Status.Authenticated
		<-tick.C
	}
	return last
}

// many requests at once are shared out fairly, whatever the clock says.
func many(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			if _, err := client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
