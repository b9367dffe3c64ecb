package garbage

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const component = "garbage-collector-controller"

// reportStrangers tells the user of owners that are in another namespace than their dependant.
func (c *Collector) reportStrangers(ctx context.Context, v view) {
	for _, ref := range v.object.owners {
		owner := v.owners[ref.UID]
		if owner == nil || !owner.strangerTo(v.namespace) {
			continue
		}
		_, err := c.events.Events(eventNamespace(v.object)).Create(ctx, strangerEvent(v.object, ref, metav1.NewTime(c.now())), metav1.CreateOptions{})
		if err != nil {
			c.log.Debug("event not written", "object", v.name, "err", err)
		}
	}
}

func eventNamespace(o *object) string {
	if o.namespace == "" {
		return metav1.NamespaceDefault
	}
	return o.namespace
}

func strangerEvent(o *object, ref metav1.OwnerReference, now metav1.Time) *corev1.Event {
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: eventNamespace(o), Name: fmt.Sprintf("%s.%x", o.name, now.UnixNano())},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: o.kind.apiVersion, Kind: o.kind.Kind, Namespace: o.namespace, Name: o.name, UID: o.uid,
		},
		Type: corev1.EventTypeWarning, Reason: "OwnerRefInvalidNamespace",
		Message: fmt.Sprintf("ownerRef [%s/%s, namespace: %s, name: %s, uid: %s] does not exist in namespace %q",
			ref.APIVersion, ref.Kind, o.namespace, ref.Name, ref.UID, o.namespace),
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: corev1.EventSource{Component: component}, ReportingController: component,
	}
}
