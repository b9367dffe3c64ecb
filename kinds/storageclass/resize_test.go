package storageclass

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"

	"dhow/api/admit/admittest"
)

func TestClaimsGrowWhereTheirClassAllowsIt(t *testing.T) {
	f := informers.NewSharedInformerFactory(nil, 0)
	plugin := Resize(f)
	for _, text := range []string{`{metadata: {name: grows}, allowVolumeExpansion: true}`, `{metadata: {name: fixed}}`} {
		f.Storage().V1().StorageClasses().Informer().GetIndexer().Add(admittest.YAML[storagev1.StorageClass](t, text))
	}
	const refused = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
	for name, c := range map[string]struct{ class, phase, size, want string }{
		"grows":    {"grows", "Bound", "2Gi", ""},
		"same":     {"fixed", "Bound", "1Gi", ""},
		"fixed":    {"fixed", "Bound", "2Gi", refused},
		"no class": {"gone", "Bound", "2Gi", refused},
		"unbound":  {"grows", "Pending", "2Gi", "Only bound persistent volume claims can be expanded"},
	} {
		t.Run(name, func(t *testing.T) {
			claim := func(size string) *corev1.PersistentVolumeClaim {
				return admittest.YAML[corev1.PersistentVolumeClaim](t, `{spec: {storageClassName: `+c.class+`, resources: {requests: {storage: `+size+`}}}, status: {phase: `+c.phase+`}}`)
			}
			r := admittest.Request{Operation: admission.Update, Object: claim(c.size), Old: claim("1Gi"), Resource: "persistentvolumeclaims"}
			admittest.Check(t, admittest.Run(t, plugin, r), c.want)
		})
	}
}
