package apiserver

import (
	"fmt"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
)

// newScheme knows every built-in type, and of each kind its defaults and selectable fields.
//
// A kind's external Go type is registered a second time as its group's internal version, which the library asks
// for: hub, served and stored version are one type, so that no request converts anything.
func newScheme(kinds []Kind) (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	if err := clientscheme.AddToScheme(s); err != nil {
		return nil, err
	}
	v1 := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(s, v1)
	s.AddUnversionedTypes(v1, &metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	for _, k := range kinds {
		if !s.Recognizes(k.GroupVersion.WithKind(k.Kind)) { // one that client-go does not know
			s.AddKnownTypes(k.GroupVersion, k.new(), k.newList())
			metav1.AddToGroupVersion(s, k.GroupVersion)
		}
	}
	if err := addInternals(s, kinds); err != nil {
		return nil, err
	}
	for _, k := range kinds {
		if f := k.rules.Default; f != nil {
			s.AddTypeDefaultingFunc(k.new(), func(obj any) { f(obj.(Object)) })
		}
		if err := addFieldLabels(s, k); err != nil {
			return nil, err
		}
		if err := addConversions(s, k); err != nil {
			return nil, err
		}
	}
	return s, addQueryOptions(s)
}

// notStored are the versions of the types that subresources and reviews speak: Scale, Eviction, TokenRequest.
var notStored = []schema.GroupVersion{
	autoscalingv1.SchemeGroupVersion, policyv1.SchemeGroupVersion, authenticationv1.SchemeGroupVersion, authorizationv1.SchemeGroupVersion,
}

// addInternals registers internal versions, first of each kind's own version, and settles which version of a
// group is preferred: that of the kind that comes first.
func addInternals(s *runtime.Scheme, kinds []Kind) error {
	versions := map[string][]schema.GroupVersion{}
	add := func(gv schema.GroupVersion) error {
		if !slices.Contains(versions[gv.Group], gv) {
			versions[gv.Group] = append(versions[gv.Group], gv)
		}
		return addInternal(s, gv)
	}
	for _, k := range kinds {
		internal := schema.GroupVersion{Group: k.GroupVersion.Group, Version: runtime.APIVersionInternal}
		s.AddKnownTypeWithName(internal.WithKind(k.Kind), k.new())
		s.AddKnownTypeWithName(internal.WithKind(k.Kind+"List"), k.newList())
		for _, a := range k.served {
			also := schema.GroupVersion{Group: a.GroupVersion.Group, Version: runtime.APIVersionInternal}
			s.AddKnownTypeWithName(also.WithKind(k.Kind), k.new())
			s.AddKnownTypeWithName(also.WithKind(k.Kind+"List"), k.newList())
		}
	}
	for _, k := range kinds {
		if err := add(k.GroupVersion); err != nil {
			return err
		}
		for _, a := range k.served {
			if err := add(a.GroupVersion); err != nil {
				return err
			}
		}
	}
	for _, gv := range notStored {
		if err := add(gv); err != nil {
			return err
		}
	}
	for _, gvs := range versions {
		if err := s.SetVersionPriority(gvs...); err != nil {
			return err
		}
	}
	return nil
}

// notObjects are kinds in every group that the library handles by itself.
var notObjects = []string{"WatchEvent", "Status", "APIVersions", "APIGroup", "APIGroupList", "APIResourceList"}

func addInternal(s *runtime.Scheme, gv schema.GroupVersion) error {
	internal := schema.GroupVersion{Group: gv.Group, Version: runtime.APIVersionInternal}
	for kind := range s.KnownTypes(gv) {
		if slices.Contains(notObjects, kind) || isOptions(gv.Group, kind) || s.Recognizes(internal.WithKind(kind)) {
			continue
		}
		obj, err := s.New(gv.WithKind(kind))
		if err != nil {
			return err
		}
		s.AddKnownTypeWithName(internal.WithKind(kind), obj)
	}
	return nil
}

// isOptions: meta's own options are in every group; the core group has options of its own (PodLogOptions).
func isOptions(group, kind string) bool {
	switch kind {
	case "ListOptions", "GetOptions", "DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions":
		return true
	}
	return group != "" && strings.HasSuffix(kind, "Options")
}

func addFieldLabels(s *runtime.Scheme, k Kind) error {
	known := k.selectable()
	return s.AddFieldLabelConversionFunc(k.GroupVersion.WithKind(k.Kind), func(label, value string) (string, string, error) {
		if slices.Contains(known, label) || label == "metadata.namespace" {
			return label, value, nil
		}
		return "", "", fmt.Errorf("field label not supported: %s", label)
	})
}
