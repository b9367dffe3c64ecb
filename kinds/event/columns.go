package event

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/table"
)

func columns() []metav1.TableColumnDefinition {
	doc := corev1.Event{}.SwaggerDoc()
	name := table.Name()
	name.Priority = 1
	return []metav1.TableColumnDefinition{
		table.Column("Last Seen", doc["lastTimestamp"]),
		table.Column("Type", doc["type"]),
		table.Column("Reason", doc["reason"]),
		table.Column("Object", doc["involvedObject"]),
		table.Wide("Subobject", corev1.ObjectReference{}.SwaggerDoc()["fieldPath"]),
		table.Wide("Source", doc["source"]),
		table.Column("Message", doc["message"]),
		table.Wide("First Seen", doc["firstTimestamp"]),
		table.Wide("Count", doc["count"]),
		name,
	}
}

func cells(e *corev1.Event) []any {
	first := table.Since(e.FirstTimestamp)
	if e.FirstTimestamp.IsZero() {
		first = table.SinceMicro(e.EventTime)
	}
	last, count := first, max(e.Count, 1)
	if !e.LastTimestamp.IsZero() {
		last = table.Since(e.LastTimestamp)
	}
	if e.Series != nil {
		last, count = table.SinceMicro(e.Series.LastObservedTime), e.Series.Count
	}
	object := strings.ToLower(e.InvolvedObject.Kind)
	if e.InvolvedObject.Name != "" {
		object += "/" + e.InvolvedObject.Name
	}
	return []any{
		last, e.Type, e.Reason, object, e.InvolvedObject.FieldPath, source(e), strings.TrimSpace(e.Message), first, int64(count),
	}
}

func source(e *corev1.Event) string {
	component, host := table.Or(e.Source.Component, e.ReportingController), table.Or(e.Source.Host, e.ReportingInstance)
	if host == "" {
		return component
	}
	return component + ", " + host
}
