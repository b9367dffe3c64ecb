package eventlog

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// written runs a recorder until it has written what was recorded.
func written(t *testing.T, record func(r *Recorder)) []corev1.Event {
	t.Helper()
	client := fake.NewClientset()
	now := time.Unix(1000, 0)
	r := New(Config{Client: client, Component: "tester", Now: func() time.Time { now = now.Add(time.Second); return now }})
	record(r)
	for len(r.queue) > 0 {
		r.write(context.Background(), <-r.queue)
	}
	list, err := client.CoreV1().Events(metav1.NamespaceAll).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func TestARepeatedEventIsCounted(t *testing.T) {
	pod := corev1.ObjectReference{Kind: "Pod", Namespace: "ns", Name: "p", UID: "1"}
	events := written(t, func(r *Recorder) {
		for range 3 {
			r.Record(pod, corev1.EventTypeWarning, "BackOff", "again")
		}
		r.Record(pod, corev1.EventTypeWarning, "BackOff", "otherwise")
	})
	if len(events) != 2 || events[0].Count+events[1].Count != 4 {
		t.Errorf("events %+v", events)
	}
}

func TestAnEventOfTheClusterLiesInTheDefaultNamespace(t *testing.T) {
	events := written(t, func(r *Recorder) {
		r.Record(corev1.ObjectReference{Kind: "Node", Name: "n"}, corev1.EventTypeNormal, "Ready", strings.Repeat("x", 5000))
	})
	if len(events) != 1 || events[0].Namespace != metav1.NamespaceDefault || len(events[0].Message) > mostMessage {
		t.Errorf("events %+v", events)
	}
}
