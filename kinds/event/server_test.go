package event_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/event"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func TestEventsInBothGroups(t *testing.T) {
	cluster := apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), pod.Kind(pod.Config{}),
		serviceaccount.Kind(serviceaccount.Config{}), event.Kind()}, nil)
	about := corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "p"}
	core, events := cluster.Client.CoreV1().Events("default"), cluster.Client.EventsV1().Events("default")
	_, err := core.Create(t.Context(), &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e"}, InvolvedObject: about, Reason: "Pulled",
		Message: "done\n", Type: "Normal", Count: 3, LastTimestamp: metav1.Now(), Source: corev1.EventSource{Component: "kubelet", Host: "w1"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := events.Get(t.Context(), "e", metav1.GetOptions{})
	if err != nil || e.Regarding.Name != "p" || e.Note != "done\n" || e.DeprecatedCount != 3 {
		t.Errorf("as events.k8s.io: %v %+v", err, e)
	}
	list, err := events.List(t.Context(), metav1.ListOptions{FieldSelector: "regarding.name=p,type=Normal"})
	if err != nil || len(list.Items) != 1 {
		t.Errorf("selected: %v %+v", err, list)
	}
	_, err = events.Create(t.Context(), &eventsv1.Event{ObjectMeta: metav1.ObjectMeta{Name: "f"}, Regarding: about, Type: "Normal"}, metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) {
		t.Errorf("without a time: %v", err)
	}
	body, err := cluster.Client.CoreV1().RESTClient().Get().Namespace("default").Resource("events").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var table metav1.Table
	if err := json.Unmarshal(body, &table); err != nil {
		t.Fatal(err)
	}
	row := table.Rows[0].Cells
	if got := fmt.Sprint(row[1:]); got != "[Normal Pulled pod/p  kubelet, w1 done <unknown> 3 e]" || len(row) != len(table.ColumnDefinitions) {
		t.Errorf("row %v", row)
	}
}

func TestEventsAreKeptForAnHour(t *testing.T) {
	if event.Kept != time.Hour {
		t.Errorf("kept for %s", event.Kept)
	}
}
