// Package objectref checks references to objects by group, kind or resource, and name, which several kinds hold.
package objectref

import (
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// Validate requires kind and name, and a group that is a domain, where there is one.
func Validate(l *check.List, at *field.Path, group *string, kind, name string) {
	if group != nil {
		l.Subdomain(at.Child("apiGroup"), *group)
	}
	Segment(l, at.Child("kind"), kind)
	Segment(l, at.Child("name"), name)
}

// Segment requires value, as a part of a URL's path.
func Segment(l *check.List, at *field.Path, value string) {
	if l.NonEmpty(at, value) {
		l.Each(at, value, content.IsPathSegmentName(value))
	}
}
