// Package agentapi is the node's own API, as the kubelet's is: logs, exec, attach and port-forward for the API server,
// and the node's figures. Every caller but a health check shows a certificate of the cluster's administrators.
package agentapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
)

// Pods is what the API asks of the node agent.
type Pods interface {
	// Pods are those that the node runs.
	Pods() []*corev1.Pod
	// Container finds a container's newest start, or the one before it. Errors are for people.
	Container(namespace, pod, container string, previous bool) (*cri.ContainerStatus, error)
	// Sandbox finds a pod's.
	Sandbox(namespace, pod string) (id string, err error)
	// TTY and Stdin say how a container was made.
	Spec(namespace, pod, container string) *corev1.Container
}

// Config of a Handler.
type Config struct {
	NodeName string
	Pods     Pods
	Runtime  container.Runtime
	// Disk is a directory on the file system that holds pods and images.
	Disk string
}

// Handler serves the API.
func Handler(c Config) http.Handler {
	a := &api{c}
	mux := http.NewServeMux()
	guarded := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, mastersOnly(h)) }
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	guarded("GET /pods", a.pods)
	guarded("GET /pods/", a.pods)
	guarded("GET /runningpods/", a.pods)
	guarded("GET /containerLogs/{namespace}/{pod}/{container}", a.logs)
	for _, uid := range []string{"", "{uid}/"} { // both forms are in use
		guarded("/exec/{namespace}/{pod}/"+uid+"{container}", a.exec)
		guarded("/attach/{namespace}/{pod}/"+uid+"{container}", a.attach)
	}
	guarded("/portForward/{namespace}/{pod}", a.portForward)
	guarded("/portForward/{namespace}/{pod}/{uid}", a.portForward)
	guarded("POST /run/{namespace}/{pod}/{container}", a.run)
	guarded("GET /stats/summary", a.summary)
	guarded("GET /logs/", http.StripPrefix("/logs/", http.FileServer(http.Dir("/var/log"))).ServeHTTP)
	guarded("GET /metrics", a.metrics)
	guarded("GET /metrics/resource", a.resourceMetrics)
	return mux
}

type api struct{ Config }

// mastersGroup is the group of the cluster's administrators, among them the API server.
const mastersGroup = "system:masters"

// mastersOnly lets in callers whose certificate, which TLS has verified, says that they are administrators.
func mastersOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.TLS == nil || len(r.TLS.VerifiedChains) == 0:
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
		case !slices.Contains(r.TLS.VerifiedChains[0][0].Subject.Organization, mastersGroup):
			http.Error(w, "Forbidden", http.StatusForbidden)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

func (a *api) pods(w http.ResponseWriter, _ *http.Request) {
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: []corev1.Pod{}}
	for _, pod := range a.Pods.Pods() {
		list.Items = append(list.Items, *pod)
	}
	writeJSON(w, list)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the caller may have left
}

// fail answers with an error in words, as a kubelet does.
func fail(w http.ResponseWriter, err error) {
	code := http.StatusBadRequest
	if errors.Is(err, container.ErrNotFound) {
		code = http.StatusNotFound
	}
	http.Error(w, strings.TrimSpace(err.Error()), code)
}
