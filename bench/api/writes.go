package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
)

// rate lets n clients do creates of one kind, together s.creates, and counts them per second.
func rate(ctx context.Context, s *server, clients, count int, do func(context.Context, *kubernetes.Clientset, int) error) (float64, error) {
	all, err := s.clients(clients, protobuf)
	if err != nil {
		return 0, err
	}
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	begin := time.Now()
	for _, client := range all {
		group.Go(func() error {
			for i := int(next.Add(1)); i <= count; i = int(next.Add(1)) {
				if err := do(ctx, client, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = group.Wait()
	return float64(count) / time.Since(begin).Seconds(), err
}

// load is a number of clients and the goal that creates by so many have.
type load struct {
	clients int
	goal    string
}

var loads = []load{{1, ">= 3"}, {16, "-"}, {64, ">= 2"}}

func configMaps(t *table) error {
	for _, l := range loads {
		name := fmt.Sprintf("ConfigMap creates, %d client(s)", l.clients)
		err := t.figure(name, l.goal, perSecond, func(ctx context.Context, s *server) (float64, error) {
			return rate(ctx, s, l.clients, t.share(l), func(ctx context.Context, c *kubernetes.Clientset, i int) error {
				_, err := c.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("bench-%d-%d", l.clients, i)},
					Data:       map[string]string{"key": "value"},
				}, metav1.CreateOptions{})
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// share is how many creates a load makes: one client alone would take long for all.
func (t *table) share(l load) int { return max(1, t.sizes.creates*min(l.clients, 3)/3) }

// pods are of about 2 KB. No scheduler takes them, so no node does either.
func pods(t *table) error {
	for _, l := range loads {
		name := fmt.Sprintf("Pod creates (2 KB), %d client(s)", l.clients)
		err := t.figure(name, l.goal, perSecond, func(ctx context.Context, s *server) (float64, error) {
			if err := account(ctx, s); err != nil {
				return 0, err
			}
			return rate(ctx, s, l.clients, t.share(l), func(ctx context.Context, c *kubernetes.Clientset, i int) error {
				return createPod(ctx, c, fmt.Sprintf("bench-%d-%d", l.clients, i))
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// account makes the namespace's account, which upstream's controllers would make.
func account(ctx context.Context, s *server) error {
	c, err := s.client(protobuf)
	if err != nil {
		return err
	}
	if s.name == "upstream" {
		_, err = c.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return poll(ctx, "a pod to be accepted", func() error {
		err := createPod(ctx, c, "first")
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
}

func createPod(ctx context.Context, c *kubernetes.Clientset, name string) error {
	_, err := c.CoreV1().Pods("default").Create(ctx, pod(name), metav1.CreateOptions{})
	return err
}

func pod(name string) *corev1.Pod {
	few := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi")}
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{}}}
	probe.TCPSocket.Port.IntVal = 8080
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{"app": "bench", "tier": "none", "pod-template-hash": "7d4c9f8b6"},
			Annotations: map[string]string{"example.test/text": strings.Repeat("what people write here ", 20)},
		},
		Spec: corev1.PodSpec{
			SchedulerName: "none",
			Containers: []corev1.Container{{
				Name: "main", Image: "registry.example.test/team/application:v1.2.3", Args: []string{"--listen=:8080", "--verbose"},
				Env:       []corev1.EnvVar{{Name: "COLOUR", Value: "blue"}, {Name: "SIZE", Value: "large"}},
				Ports:     []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
				Resources: corev1.ResourceRequirements{Requests: few, Limits: few}, ReadinessProbe: probe, LivenessProbe: probe,
			}},
		},
	}
}

// fill creates what is missing for n pods.
func fill(ctx context.Context, s *server, n int) error {
	if err := account(ctx, s); err != nil {
		return err
	}
	c, err := s.client(protobuf)
	if err != nil {
		return err
	}
	few, err := c.CoreV1().Pods("default").List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return err
	}
	have := len(few.Items)
	if few.RemainingItemCount != nil {
		have += int(*few.RemainingItemCount)
	}
	if have >= n {
		return nil
	}
	_, err = rate(ctx, s, 64, n-have, func(ctx context.Context, c *kubernetes.Clientset, i int) error {
		return createPod(ctx, c, fmt.Sprintf("fill-%d", have+i))
	})
	return err
}

// applies change a PodTemplate by server-side apply: no controller of dhow's minds it.
func applies(t *table) error {
	for _, clients := range []int{1, 16} {
		name := fmt.Sprintf("Server-side applies, %d client(s)", clients)
		err := t.figure(name, "-", perSecond, func(ctx context.Context, s *server) (float64, error) {
			return rate(ctx, s, clients, max(1, t.sizes.creates/3), func(ctx context.Context, c *kubernetes.Clientset, i int) error {
				return apply(ctx, c, fmt.Sprintf("applied-%d-%d", clients, i%(4*clients)), i)
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func apply(ctx context.Context, c *kubernetes.Clientset, name string, i int) error {
	container := corev1ac.Container().WithName("main").WithImage("registry.example.test/team/application:v1.2.3").
		WithEnv(corev1ac.EnvVar().WithName("COUNT").WithValue(fmt.Sprint(i))).WithPorts(corev1ac.ContainerPort().WithContainerPort(8080))
	template := corev1ac.PodTemplate(name, "default").WithLabels(map[string]string{"count": fmt.Sprint(i)}).
		WithTemplate(corev1ac.PodTemplateSpec().WithLabels(map[string]string{"app": "bench"}).
			WithSpec(corev1ac.PodSpec().WithContainers(container)))
	_, err := c.CoreV1().PodTemplates("default").Apply(ctx, template, metav1.ApplyOptions{FieldManager: "bench", Force: true})
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return nil // another client was at it: it was work all the same
	}
	return err
}
