package node

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// recorder writes events about pods. An event that repeats within ten minutes raises the count of the first.
type recorder struct {
	client kubernetes.Interface
	node   string
	log    *slog.Logger
	queue  chan *corev1.Event
}

func newRecorder(client kubernetes.Interface, node string, log *slog.Logger) *recorder {
	return &recorder{client: client, node: node, log: log, queue: make(chan *corev1.Event, 1000)}
}

// pod records an event about a pod, or about one of its containers where container is its name.
func (r *recorder) pod(pod *corev1.Pod, container, kind, reason, format string, args ...any) {
	ref := corev1.ObjectReference{
		Kind: "Pod", APIVersion: "v1", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
	}
	if container != "" {
		ref.FieldPath = fmt.Sprintf("spec.containers{%s}", container)
	}
	now := metav1.Now()
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: pod.Namespace, Name: fmt.Sprintf("%s.%x", pod.Name, now.UnixNano())},
		InvolvedObject: ref, Type: kind, Reason: reason, Message: fmt.Sprintf(format, args...),
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: corev1.EventSource{Component: "kubelet", Host: r.node}, ReportingController: "kubelet", ReportingInstance: r.node,
	}
	select {
	case r.queue <- event:
	default: // events are best effort
	}
}

type eventKey struct {
	uid                        types.UID
	container, reason, message string
}

const forgetAfter = 10 * time.Minute

func (r *recorder) run(ctx context.Context) {
	known := map[eventKey]*corev1.Event{}
	for {
		var e *corev1.Event
		select {
		case e = <-r.queue:
		case <-ctx.Done():
			return
		}
		key := eventKey{e.InvolvedObject.UID, e.InvolvedObject.FieldPath, e.Reason, e.Message}
		written, err := r.write(ctx, e, known[key])
		if err != nil {
			r.log.Debug("event not written", "pod", e.InvolvedObject.Namespace+"/"+e.InvolvedObject.Name, "err", err)
			continue
		}
		known[key] = written
		for k, old := range known {
			if time.Since(old.LastTimestamp.Time) > forgetAfter {
				delete(known, k)
			}
		}
	}
}

func (r *recorder) write(ctx context.Context, e, before *corev1.Event) (*corev1.Event, error) {
	events := r.client.CoreV1().Events(e.Namespace)
	if before != nil {
		again := before.DeepCopy()
		again.Count, again.LastTimestamp = again.Count+1, e.LastTimestamp
		if updated, err := events.Update(ctx, again, metav1.UpdateOptions{}); err == nil {
			return updated, nil
		}
	}
	return events.Create(ctx, e, metav1.CreateOptions{})
}
