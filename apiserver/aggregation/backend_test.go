package aggregation

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

func TestPathsNameTheirGroupVersion(t *testing.T) {
	v1 := schema.GroupVersion{Group: "a.com", Version: "v1"}
	tests := map[string]schema.GroupVersion{
		"/apis/a.com/v1": v1, "/apis/a.com/v1/namespaces/x/y": v1, "/openapi/v3/apis/a.com/v1": v1,
		"/apis/a.com": {Group: "a.com"}, "/api/v1/pods": {}, "/healthz": {},
	}
	for path, want := range tests {
		if got := groupVersionOf(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestTheVersionOfHighestPriorityIsPreferred(t *testing.T) {
	a := &Aggregator{backends: map[schema.GroupVersion]*backend{}}
	for version, priority := range map[string]int32{"v1beta1": 5, "v1": 5, "v2alpha1": 9} {
		b := &backend{spec: apiregistrationv1.APIServiceSpec{Group: "a.com", Version: version, VersionPriority: priority}}
		a.backends[b.groupVersion()] = b
	}
	got := a.group("a.com")
	if got.PreferredVersion.Version != "v2alpha1" || got.Versions[1].Version != "v1" || got.Versions[2].Version != "v1beta1" {
		t.Errorf("got %+v", got)
	}
	if a.group("b.com") != nil {
		t.Error("a group that nobody serves")
	}
}
