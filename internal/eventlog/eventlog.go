// Package eventlog writes what happened to objects as Events of the API. Writers never wait for it: what exceeds the
// queue is lost, since events are best effort.
package eventlog

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

// Config of a Recorder.
type Config struct {
	Client kubernetes.Interface
	// Component is who reports ("kubelet"), Host the node it is on, if it is on one.
	Component, Host string
	// Now is the clock, time.Now if nil.
	Now func() time.Time
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// Recorder queues events and writes them while it runs. One that repeats within ten minutes raises the count of the first.
type Recorder struct {
	config  Config
	queue   chan *corev1.Event
	known   map[key]*corev1.Event
	cleaned time.Time // when known was last gone through
}

// key is what two events have in common that are one.
type key struct {
	uid                    types.UID
	field, reason, message string
}

const (
	mostQueued  = 1000
	mostMessage = 1024
	forgetAfter = 10 * time.Minute
)

// New makes a Recorder; Run has to be called for events to be written.
func New(c Config) *Recorder {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Recorder{config: c, queue: make(chan *corev1.Event, mostQueued), known: map[key]*corev1.Event{}}
}

// Record queues an event about an object. kind is "Normal" or "Warning".
func (r *Recorder) Record(about corev1.ObjectReference, kind, reason, message string) {
	namespace := about.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	if len(message) > mostMessage {
		message = message[:mostMessage-4] + " ..."
	}
	now := metav1.NewTime(r.config.Now())
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s.%x", about.Name, now.UnixNano())},
		InvolvedObject: about, Type: kind, Reason: reason, Message: message, FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source:              corev1.EventSource{Component: r.config.Component, Host: r.config.Host},
		ReportingController: r.config.Component, ReportingInstance: r.config.Host,
	}
	select {
	case r.queue <- event:
	default:
	}
}

// Run writes until ctx ends.
func (r *Recorder) Run(ctx context.Context) {
	for {
		select {
		case e := <-r.queue:
			r.write(ctx, e)
		case <-ctx.Done():
			return
		}
	}
}

func (r *Recorder) write(ctx context.Context, e *corev1.Event) {
	k := key{e.InvolvedObject.UID, e.InvolvedObject.FieldPath, e.Reason, e.Message}
	written, err := r.put(ctx, e, r.known[k])
	if err != nil {
		r.config.Log.Debug("event not written", "object", e.InvolvedObject.Namespace+"/"+e.InvolvedObject.Name, "reason", e.Reason, "err", err)
		return
	}
	r.known[k] = written
	if e.LastTimestamp.Sub(r.cleaned) > forgetAfter/10 {
		r.clean(e.LastTimestamp.Time)
	}
}

// clean forgets what has not repeated for long.
func (r *Recorder) clean(now time.Time) {
	r.cleaned = now
	for k, e := range r.known {
		if now.Sub(e.LastTimestamp.Time) > forgetAfter {
			delete(r.known, k)
		}
	}
}

// put counts an event up that was written before, or writes it anew; it may have expired.
func (r *Recorder) put(ctx context.Context, e, before *corev1.Event) (*corev1.Event, error) {
	events := r.config.Client.CoreV1().Events(e.Namespace)
	if before != nil {
		again := before.DeepCopy()
		again.Count, again.LastTimestamp = again.Count+1, e.LastTimestamp
		if updated, err := events.Update(ctx, again, metav1.UpdateOptions{}); err == nil {
			return updated, nil
		}
	}
	return events.Create(ctx, e, metav1.CreateOptions{})
}
