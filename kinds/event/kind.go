// Package event is all that the server knows of Events, in core/v1 and in events.k8s.io/v1: validation, how long
// they are kept, and what kubectl prints.
package event

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"

	"dhow/api/table"
	"dhow/apiserver"
)

// Kept is how long an event is kept after its last change.
const Kept = time.Hour

// Kind defines Events.
func Kind() apiserver.Kind {
	return apiserver.Define[*corev1.Event, *corev1.EventList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "Event", Resource: "events", ShortNames: []string{"ev"}},
		apiserver.Rules[*corev1.Event]{
			Validate: func(ctx context.Context, e *corev1.Event) field.ErrorList { return validate(e, requested(ctx)) },
			ValidateUpdate: func(ctx context.Context, e, old *corev1.Event) field.ErrorList {
				return validateUpdate(e, old, requested(ctx))
			},
			ValidateName:        content.IsPathSegmentName, // core/v1 asks for no more
			Fields:              selectable,
			Columns:             columns(),
			Cells:               cells,
			AllowCreateOnUpdate: true,
			Hook: func(s *genericregistry.Store) {
				s.TTLFunc = func(runtime.Object, uint64, bool) (uint64, error) { return uint64(Kept.Seconds()), nil }
			},
		}).With(apiserver.DefineAlias[*eventsv1.Event, *eventsv1.EventList](eventsv1.SchemeGroupVersion, toCore, fromCore, selectors()))
}

// requested is the version that the client speaks; core/v1 asks for less.
func requested(ctx context.Context) schema.GroupVersion {
	if info, ok := request.RequestInfoFrom(ctx); ok {
		return schema.GroupVersion{Group: info.APIGroup, Version: info.APIVersion}
	}
	return schema.GroupVersion{}
}

func selectable(e *corev1.Event) fields.Set {
	return fields.Set{
		"involvedObject.kind":            e.InvolvedObject.Kind,
		"involvedObject.namespace":       e.InvolvedObject.Namespace,
		"involvedObject.name":            e.InvolvedObject.Name,
		"involvedObject.uid":             string(e.InvolvedObject.UID),
		"involvedObject.apiVersion":      e.InvolvedObject.APIVersion,
		"involvedObject.resourceVersion": e.InvolvedObject.ResourceVersion,
		"involvedObject.fieldPath":       e.InvolvedObject.FieldPath,
		"reason":                         e.Reason,
		"reportingComponent":             e.ReportingController,
		"source":                         table.Or(e.Source.Component, e.ReportingController),
		"type":                           e.Type,
	}
}

// selectors are the names of those fields in events.k8s.io.
func selectors() map[string]string {
	names := map[string]string{"reason": "reason", "type": "type", "reportingController": "reportingComponent"}
	for _, of := range []string{"kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"} {
		names["regarding."+of] = "involvedObject." + of
	}
	return names
}
