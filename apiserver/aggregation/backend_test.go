package aggregation

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
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
