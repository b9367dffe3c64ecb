package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func pod(name string) *corev1.Pod {
	var grace int64
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"bench": "pod"}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{
				Name: "pause", Image: pauseImage, ImagePullPolicy: corev1.PullNever,
			}},
		},
	}
}

// coldStart measures a server on empty data: until it answers, its node is Ready, and a first pod runs.
func (b *bench) coldStart() error {
	if err := b.loadImage(); err != nil {
		return err
	}
	if err := b.start(); err != nil {
		return err
	}
	if err := b.connect(); err != nil {
		return err
	}
	figure("exec to /readyz, empty data", ms(time.Since(b.started)), "0.6 s")
	begun := b.started
	created := make(chan error, 1)
	go func() { created <- b.create("first") }()
	if err := b.poll("the node to be Ready", b.nodeReady); err != nil {
		return err
	}
	figure("exec to node Ready, empty data", ms(time.Since(begun)), "1.0 s")
	if err := <-created; err != nil {
		return err
	}
	if err := b.poll("the first pod to run", func() (bool, error) { return b.running(1) }); err != nil {
		return err
	}
	figure("exec to first Pod Running", ms(time.Since(begun)), "1.5 s")
	return b.deletePods()
}

func (b *bench) create(name string) error {
	return b.poll("pod "+name+" to be accepted", func() (bool, error) {
		_, err := b.client.CoreV1().Pods("default").Create(b.ctx, pod(name), metav1.CreateOptions{})
		return err == nil, nil // the default service account may not be there yet
	})
}

func (b *bench) nodeReady() (bool, error) {
	nodes, err := b.client.CoreV1().Nodes().List(b.ctx, metav1.ListOptions{})
	if err != nil {
		return false, err
	}
	for _, n := range nodes.Items {
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				return true, nil
			}
		}
	}
	return false, nil
}

// running says whether n of the benchmark's pods run.
func (b *bench) running(n int) (bool, error) {
	pods, err := b.client.CoreV1().Pods("default").List(b.ctx, metav1.ListOptions{LabelSelector: "bench", ResourceVersion: "0"})
	if err != nil {
		return false, err
	}
	count := 0
	for _, p := range pods.Items {
		if p.Status.Phase == corev1.PodRunning {
			count++
		}
	}
	return count == n, nil
}

func (b *bench) deletePods() error {
	pods := b.client.CoreV1().Pods("default")
	err := pods.DeleteCollection(b.ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "bench"})
	if err != nil {
		return err
	}
	return b.poll("the pods to be gone", func() (bool, error) {
		left, err := pods.List(b.ctx, metav1.ListOptions{LabelSelector: "bench"})
		return err == nil && len(left.Items) == 0, err
	})
}

// podLatency creates 30 pods, one after the other, and watches each until it runs.
func (b *bench) podLatency() error {
	var took []time.Duration
	for i := range 30 {
		d, err := b.createAndWatch(fmt.Sprintf("one-%d", i))
		if err != nil {
			return err
		}
		took = append(took, d)
	}
	slices.Sort(took)
	figure("Pod create to Running, p50 of 30", ms(took[len(took)/2]), "60 ms")
	figure("Pod create to Running, p99 of 30", ms(took[len(took)-1]), "200 ms")
	return b.deletePods()
}

func (b *bench) createAndWatch(name string) (time.Duration, error) {
	pods := b.client.CoreV1().Pods("default")
	watch, err := pods.Watch(b.ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		return 0, err
	}
	defer watch.Stop()
	begin := time.Now()
	if _, err := pods.Create(b.ctx, pod(name), metav1.CreateOptions{}); err != nil {
		return 0, err
	}
	deadline := time.After(time.Minute)
	for {
		select {
		case event, open := <-watch.ResultChan():
			if !open {
				return 0, errors.New("watch of pods ended")
			}
			if p, ok := event.Object.(*corev1.Pod); ok && p.Status.Phase == corev1.PodRunning {
				return time.Since(begin), nil
			}
		case <-deadline:
			return 0, fmt.Errorf("pod %s does not run after a minute", name)
		}
	}
}

// podBurst creates 50 pods at once, then weighs the daemon and the pods' shims.
func (b *bench) podBurst() error {
	const n = 50
	begin := time.Now()
	failed := make(chan error, n)
	for i := range n {
		go func() {
			_, err := b.client.CoreV1().Pods("default").Create(b.ctx, pod(fmt.Sprintf("burst-%d", i)), metav1.CreateOptions{})
			failed <- err
		}()
	}
	for range n {
		if err := <-failed; err != nil {
			return err
		}
	}
	if err := b.poll("50 pods to run", func() (bool, error) { return b.running(n) }); err != nil {
		return err
	}
	figure("50 Pods at once, all Running", ms(time.Since(begin)), "2 s")
	if err := b.podMemory(n); err != nil {
		return err
	}
	return b.deletePods()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
