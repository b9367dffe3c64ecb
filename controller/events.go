package controller

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/reference"
)

// recorder writes a controller's events. One that repeats within ten minutes raises the count of the first.
type recorder struct {
	client kubernetes.Interface
	name   string
	now    func() time.Time
	queue  chan *corev1.Event
}

// mostQueued events wait to be written; what comes on top is lost, since events are best effort.
const mostQueued = 1000

func newRecorder(client kubernetes.Interface, name string, now func() time.Time) *recorder {
	return &recorder{client: client, name: name, now: now, queue: make(chan *corev1.Event, mostQueued)}
}

// record implements Env.Event.
func (r *recorder) record(obj runtime.Object, kind, reason, message string) {
	ref, err := reference.GetReference(scheme.Scheme, obj)
	if err != nil {
		return // not an object of the API
	}
	now := metav1.NewTime(r.now())
	namespace := ref.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	e := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s.%x", ref.Name, now.UnixNano())},
		InvolvedObject: *ref, Type: kind, Reason: reason, Message: message, FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: corev1.EventSource{Component: r.name}, ReportingController: r.name,
	}
	select {
	case r.queue <- e:
	default:
	}
}

// eventKey is what two events have in common that are one.
type eventKey struct {
	uid             types.UID
	reason, message string
}

const forgetAfter = 10 * time.Minute

func (r *recorder) run(ctx context.Context, log *slog.Logger) {
	known := map[eventKey]*corev1.Event{}
	for {
		var e *corev1.Event
		select {
		case e = <-r.queue:
		case <-ctx.Done():
			return
		}
		key := eventKey{e.InvolvedObject.UID, e.Reason, e.Message}
		written, err := r.write(ctx, e, known[key])
		if err != nil {
			log.Debug("event not written", "object", e.InvolvedObject.Name, "err", err)
			continue
		}
		known[key] = written
		for k, old := range known {
			if e.LastTimestamp.Sub(old.LastTimestamp.Time) > forgetAfter {
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
