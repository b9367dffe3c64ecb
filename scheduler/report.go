package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
)

// reporter tells users what became of pods, by events and the condition PodScheduled. Of several reports on a pod
// that have not been written yet the last is: scheduling never waits for it.
type reporter struct {
	client kubernetes.Interface
	name   string
	log    *slog.Logger
	queue  workqueue.TypedInterface[types.UID]

	mu      sync.Mutex
	waiting map[types.UID]report
	written map[types.UID]written // of pods that have failed: their last event
}

// report is what became of a pod.
type report struct {
	pod     *corev1.Pod
	node    string // "": it failed
	reason  string // of the condition
	message string
}

// written is an event that was written and may be counted up.
type written struct {
	name    string
	message string
	count   int32
}

// reporters write at the same time, far fewer than binders.
const reporters = 2

// longestNote is the greatest length of an event's message.
const longestNote = 1024

func newReporter(client kubernetes.Interface, name string, log *slog.Logger) *reporter {
	return &reporter{
		client: client, name: name, log: log, queue: workqueue.NewTyped[types.UID](),
		waiting: map[types.UID]report{}, written: map[types.UID]written{},
	}
}

func (r *reporter) scheduled(pod *corev1.Pod, node string) {
	r.add(report{pod: pod, node: node, message: fmt.Sprintf("Successfully assigned %s/%s to %s", pod.Namespace, pod.Name, node)})
}

func (r *reporter) failed(pod *corev1.Pod, reason, message string) {
	r.add(report{pod: pod, reason: reason, message: message})
}

func (r *reporter) add(what report) {
	r.mu.Lock()
	r.waiting[what.pod.UID] = what
	r.mu.Unlock()
	r.queue.Add(what.pod.UID)
}

// run writes until ctx ends.
func (r *reporter) run(ctx context.Context) {
	var writers sync.WaitGroup
	for range reporters {
		writers.Go(func() {
			for {
				uid, down := r.queue.Get()
				if down {
					return
				}
				r.write(ctx, uid)
				r.queue.Done(uid)
			}
		})
	}
	<-ctx.Done()
	r.queue.ShutDown()
	writers.Wait()
}

func (r *reporter) write(ctx context.Context, uid types.UID) {
	r.mu.Lock()
	what, some := r.waiting[uid]
	delete(r.waiting, uid)
	r.mu.Unlock()
	if !some || ctx.Err() != nil {
		return
	}
	var err error
	if what.node != "" {
		err = r.create(ctx, what, corev1.EventTypeNormal, "Scheduled", "Binding")
		r.forget(uid)
	} else if err = r.fail(ctx, what); err == nil {
		err = r.condition(ctx, what)
	}
	if apierrors.IsNotFound(err) {
		r.forget(uid) // the pod has gone
		return
	}
	if err != nil && ctx.Err() == nil {
		r.log.Warn("report on a pod was not written", "pod", what.pod.Namespace+"/"+what.pod.Name, "err", err)
	}
}

func (r *reporter) forget(uid types.UID) {
	r.mu.Lock()
	delete(r.written, uid)
	r.mu.Unlock()
}

// fail counts up the last event when it says the same.
func (r *reporter) fail(ctx context.Context, what report) error {
	r.mu.Lock()
	before, known := r.written[what.pod.UID]
	r.mu.Unlock()
	if known && before.message == what.message {
		before.count++
		patch := fmt.Sprintf(`{"count":%d,"lastTimestamp":%q}`, before.count, time.Now().UTC().Format(time.RFC3339))
		_, err := r.client.CoreV1().Events(what.pod.Namespace).Patch(ctx, before.name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		if err == nil {
			r.remember(what.pod.UID, before)
			return nil
		}
		if !apierrors.IsNotFound(err) { // events expire
			return err
		}
	}
	return r.create(ctx, what, corev1.EventTypeWarning, "FailedScheduling", "Scheduling")
}

func (r *reporter) remember(uid types.UID, e written) {
	r.mu.Lock()
	r.written[uid] = e
	r.mu.Unlock()
}

func (r *reporter) create(ctx context.Context, what report, kind, reason, action string) error {
	pod, now := what.pod, metav1.Now()
	note := what.message
	if len(note) > longestNote {
		note = note[:longestNote-4] + " ..."
	}
	e := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: fmt.Sprintf("%s.%x", pod.Name, now.UnixNano())},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
		},
		Type: kind, Reason: reason, Action: action, Message: note, Count: 1, FirstTimestamp: now, LastTimestamp: now,
		Source: corev1.EventSource{Component: r.name}, ReportingController: r.name, ReportingInstance: r.name,
	}
	if _, err := r.client.CoreV1().Events(pod.Namespace).Create(ctx, e, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("event %s: %w", reason, err)
	}
	if what.node == "" {
		r.remember(pod.UID, written{e.Name, what.message, 1})
	}
	return nil
}

// condition writes PodScheduled=False where the pod does not say the same already.
func (r *reporter) condition(ctx context.Context, what report) error {
	now := metav1.Now()
	for _, c := range what.pod.Status.Conditions {
		if c.Type != corev1.PodScheduled {
			continue
		}
		if c.Status == corev1.ConditionFalse && c.Reason == what.reason && c.Message == what.message {
			return nil
		}
		if c.Status == corev1.ConditionFalse {
			now = c.LastTransitionTime
		}
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": what.pod.UID},
		"status": map[string]any{"conditions": []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: what.reason, Message: what.message,
			LastTransitionTime: now, ObservedGeneration: what.pod.Generation,
		}}},
	})
	if err != nil {
		return err
	}
	_, err = r.client.CoreV1().Pods(what.pod.Namespace).Patch(ctx, what.pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("condition PodScheduled: %w", err)
	}
	return nil
}
