package storageclass

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/client-go/informers"

	"dhow/api/admit/admittest"
)

const (
	older  = `{metadata: {name: a, creationTimestamp: "2026-01-01T00:00:00Z", annotations: {storageclass.kubernetes.io/is-default-class: "true"}}}`
	newest = `{metadata: {name: c, creationTimestamp: "2026-01-02T00:00:00Z", annotations: {storageclass.kubernetes.io/is-default-class: "true"}}}`
	twin   = `{metadata: {name: b, creationTimestamp: "2026-01-02T00:00:00Z", annotations: {storageclass.beta.kubernetes.io/is-default-class: "true"}}}`
	plain  = `{metadata: {name: d, creationTimestamp: "2026-01-03T00:00:00Z"}}`
)

func TestClaimsGetTheNewestDefaultClass(t *testing.T) {
	for name, c := range map[string]struct {
		classes []string
		claim   string
		want    string
	}{
		"newest":            {[]string{older, newest, plain}, `{}`, "c"},
		"first by name":     {[]string{newest, twin}, `{}`, "b"},
		"no default":        {[]string{plain}, `{}`, "none"},
		"named":             {[]string{older}, `{spec: {storageClassName: x}}`, "x"},
		"without any":       {[]string{older}, `{spec: {storageClassName: ""}}`, ""},
		"by old annotation": {[]string{older}, `{metadata: {annotations: {volume.beta.kubernetes.io/storage-class: x}}}`, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			f := informers.NewSharedInformerFactory(nil, 0)
			p := Admission(f).(*plugin)
			p.synced = func() bool { return true }
			for _, text := range c.classes {
				f.Storage().V1().StorageClasses().Informer().GetIndexer().Add(admittest.YAML[storagev1.StorageClass](t, text))
			}
			claim := admittest.YAML[corev1.PersistentVolumeClaim](t, c.claim)
			admittest.Check(t, admittest.Run(t, p, admittest.Request{Object: claim, Resource: "persistentvolumeclaims"}), "")
			got := "none"
			if claim.Spec.StorageClassName != nil {
				got = *claim.Spec.StorageClassName
			}
			if got != c.want {
				t.Errorf("class %q, want %q", got, c.want)
			}
		})
	}
}
