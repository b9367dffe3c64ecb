package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/node/agentapi"
)

// serve answers the node's own API until ctx ends.
func (n *Node) serve(ctx context.Context) error {
	if n.config.Listener == nil {
		<-ctx.Done()
		return nil
	}
	server := &http.Server{
		Handler:   n.onceReady(agentapi.Handler(agentapi.Config{NodeName: n.config.Name, Pods: n, Runtime: n.config.Runtime, Disk: n.config.Volumes})),
		TLSConfig: n.config.TLS, ReadHeaderTimeout: 30 * time.Second, ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	err := server.ServeTLS(n.config.Listener, "", "")
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the node's API: %w", err)
}

// onceReady has callers wait until the agent knows its pods: after a new start they may come sooner.
func (n *Node) onceReady(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" && n.Ready(r.Context()) != nil {
			return // the caller has left
		}
		h.ServeHTTP(w, r)
	})
}

// Pods implements agentapi.Pods.
func (n *Node) Pods() []*corev1.Pod {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []*corev1.Pod
	for _, w := range n.workers {
		w.mu.Lock()
		all = append(all, w.pod)
		w.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all
}

func (n *Node) podNamed(namespace, name string) (*corev1.Pod, error) {
	for _, pod := range n.Pods() {
		if pod.Namespace == namespace && pod.Name == name {
			return pod, nil
		}
	}
	return nil, fmt.Errorf("pod %s/%s: %w on node %s", namespace, name, container.ErrNotFound, n.config.Name)
}

// Container implements agentapi.Pods.
func (n *Node) Container(namespace, podName, name string, previous bool) (*cri.ContainerStatus, error) {
	pod, err := n.podNamed(namespace, podName)
	if err != nil {
		return nil, err
	}
	o, err := n.observe(context.Background(), pod.UID)
	if err != nil {
		return nil, err
	}
	list := o.containers[name]
	switch {
	case previous && len(list) > 1:
		return list[1].ContainerStatus, nil
	case previous && len(list) == 1 && list[0].exited() && pod.Spec.RestartPolicy != corev1.RestartPolicyNever:
		return list[0].ContainerStatus, nil
	case previous:
		return nil, fmt.Errorf("previous terminated container %q in pod %q not found", name, podName)
	case len(list) > 0 && list[0].State != cri.ContainerState_CONTAINER_CREATED:
		return list[0].ContainerStatus, nil
	}
	return nil, notStarted(pod, name)
}

// notStarted tells why there is nothing to see of a container yet.
func notStarted(pod *corev1.Pod, name string) error {
	reason := "ContainerCreating"
	if status := statusOf(pod, name); status != nil && status.State.Waiting != nil {
		reason = status.State.Waiting.Reason
		switch reason {
		case reasonImagePull, reasonImageBackOff, reasonImageNever, reasonImageName:
			return fmt.Errorf("container %q in pod %q is waiting to start: trying and failing to pull image", name, pod.Name)
		}
	}
	return fmt.Errorf("container %q in pod %q is waiting to start: %s", name, pod.Name, reason)
}

// Sandbox implements agentapi.Pods.
func (n *Node) Sandbox(namespace, name string) (string, error) {
	pod, err := n.podNamed(namespace, name)
	if err != nil {
		return "", err
	}
	o, err := n.observe(context.Background(), pod.UID)
	if err != nil {
		return "", err
	}
	if !o.ready() {
		return "", fmt.Errorf("pod %s/%s does not run", namespace, name)
	}
	return o.sandbox.Id, nil
}

// Spec implements agentapi.Pods.
func (n *Node) Spec(namespace, podName, name string) *corev1.Container {
	pod, err := n.podNamed(namespace, podName)
	if err != nil {
		return nil
	}
	return findContainer(pod, name)
}
