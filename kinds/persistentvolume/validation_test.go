package persistentvolume

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/check/checktest"
)

const good = `{metadata: {name: v}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], nfs: {server: s, path: /p}}}`

func volume(t *testing.T, changes ...string) *corev1.PersistentVolume {
	t.Helper()
	v := checktest.Object[corev1.PersistentVolume](t, good, changes...)
	Default(v)
	return v
}

// terms is an affinity to nodes with a label.
func terms(key, value string) string {
	return `{required: {nodeSelectorTerms: [{matchExpressions: [{key: ` + key + `, operator: In, values: [` + value + `]}]}]}}`
}

func TestWhatAVolumeMayBe(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		want   []string
	}{
		"good":       {"{}", nil},
		"bare":       {`{spec: null}`, []string{"spec.accessModes: Required value", "spec.capacity: Required value", "spec.capacity: Unsupported value: null: supported values: \"storage\"", "spec: Required value: must specify a volume type"}},
		"two":        {`{spec: {hostPath: {path: /a}}}`, []string{"spec.nfs: Forbidden: may not specify more than 1 volume type"}},
		"two, cephs": {`{spec: {cephfs: {monitors: [a]}}}`, []string{"spec.cephFS: Forbidden: may not specify more than 1 volume type"}},
		"flex, too":  {`{spec: {flexVolume: {driver: d}}}`, nil},
		"modes":      {`{spec: {accessModes: [Sometimes]}}`, []string{`spec.accessModes: Unsupported value: "Sometimes": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"`}},
		"one pod":    {`{spec: {accessModes: [ReadWriteOncePod, ReadWriteOnce]}}`, []string{"spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"}},
		"empty":      {`{spec: {capacity: {storage: "0"}}}`, []string{`spec.capacity[storage]: Invalid value: "0": must be greater than zero`}},
		"negative":   {`{spec: {capacity: {storage: "-1"}}}`, []string{`spec.capacity[storage]: Invalid value: "-1": must be greater than zero`, `spec.capacity[storage]: Invalid value: -1: must be a valid resource quantity`}},
		"policy":     {`{spec: {persistentVolumeReclaimPolicy: Burn}}`, []string{`spec.persistentVolumeReclaimPolicy: Unsupported value: "Burn": supported values: "Delete", "Recycle", "Retain"`}},
		"root": {`{spec: {nfs: null, hostPath: {path: /a/..}, persistentVolumeReclaimPolicy: Recycle}}`, []string{
			"spec.hostPath.path: Invalid value: \"/a/..\": must not contain '..'",
			"spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"}},
		"local":      {`{spec: {nfs: null, local: {path: /a}}}`, []string{"spec.nodeAffinity: Required value: Local volume requires node affinity"}},
		"local here": {`{spec: {nfs: null, local: {path: /a}, nodeAffinity: ` + terms("a", "b") + `}}`, nil},
		"anywhere":   {`{spec: {nodeAffinity: {}}}`, []string{"spec.nodeAffinity.required: Required value: must specify required node constraints"}},
		"no terms":   {`{spec: {nodeAffinity: {required: {nodeSelectorTerms: []}}}}`, []string{"spec.nodeAffinity.required.nodeSelectorTerms: Required value: must have at least one node selector term"}},
		"class":      {`{spec: {storageClassName: A}}`, []string{`spec.storageClassName: Invalid value: "A": ` + subdomain}},
		"mode":       {`{spec: {volumeMode: Tape}}`, []string{`spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"`}},
		"attributes": {`{spec: {volumeAttributesClassName: ""}}`, []string{"spec.volumeAttributesClassName: Required value: an empty string is disallowed", "spec.csi: Required value: has to be specified when using volumeAttributesClassName"}},
		"csi": {`{spec: {nfs: null, csi: {driver: "", nodeExpandSecretRef: {name: A}}}}`, []string{
			"spec.csi.driver: Required value", "spec.csi.volumeHandle: Required value",
			`spec.csi.nodeExpandSecretRef.name: Invalid value: "A": ` + subdomain, "spec.csi.nodeExpandSecretRef.namespace: Required value"}},
		"gce":   {`{spec: {nfs: null, gcePersistentDisk: {pdName: "", partition: 300}}}`, []string{"spec.persistentDisk.pdName: Required value", "spec.persistentDisk.partition: Invalid value: 300: must be between 0 and 255, inclusive"}},
		"iscsi": {`{spec: {nfs: null, iscsi: {targetPortal: p, iqn: x, lun: 0, chapAuthSession: true}}}`, []string{`spec.iscsi.iqn: Invalid value: "x": must be valid format`, "spec.iscsi.secretRef: Required value"}},
		"mount options": {`{metadata: {annotations: {volume.beta.kubernetes.io/mount-options: ro}}, spec: {nfs: null, hostPath: {path: /a}}}`,
			[]string{"metadata.annotations.volume.beta.kubernetes.io/mount-options: Forbidden: may not specify mount options for this volume type"}},
	} {
		t.Run(name, func(t *testing.T) { checktest.Want(t, validate(t.Context(), volume(t, c.change)), c.want...) })
	}
}

const subdomain = `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`

func TestWhatMayChange(t *testing.T) {
	const csi = `{spec: {nfs: null, csi: {driver: d, volumeHandle: h}}}`
	zone := `{spec: {nodeAffinity: ` + terms("failure-domain.beta.kubernetes.io/zone", "a") + `}}`
	for name, c := range map[string]struct{ old, change, want string }{
		"claim and policy":   {"", `{spec: {claimRef: {name: c}, persistentVolumeReclaimPolicy: Delete, storageClassName: x, capacity: {storage: 2Gi}}}`, ""},
		"source":             {"", `{spec: {nfs: {path: /q}}}`, "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n@@"},
		"expand secret":      {csi, `{spec: {csi: {controllerExpandSecretRef: {name: s, namespace: ns}}}}`, ""},
		"another secret":     {csi, `{spec: {csi: {nodeExpandSecretRef: {name: s, namespace: ns}}}}`, "spec.persistentvolumesource: Forbidden: "},
		"mode":               {"", `{spec: {volumeMode: Block}}`, `volumeMode: Invalid value: "Block": field is immutable`},
		"first affinity":     {"", zone, ""},
		"stable label":       {zone, `{spec: {nodeAffinity: ` + terms("topology.kubernetes.io/zone", "a") + `}}`, ""},
		"another label":      {zone, `{spec: {nodeAffinity: ` + terms("topology.kubernetes.io/region", "a") + `}}`, "nodeAffinity: Invalid value: "},
		"another zone":       {zone, `{spec: {nodeAffinity: ` + terms("topology.kubernetes.io/zone", "b") + `}}`, "nodeAffinity: Invalid value: "},
		"no affinity":        {zone, `{spec: {nodeAffinity: null}}`, "nodeAffinity: Invalid value: null: field is immutable, except for updating from beta label to GA"},
		"odd values stay":    {`{spec: {nodeAffinity: ` + terms("a", "'-'") + `}}`, `{}`, ""},
		"attributes go":      {`{spec: {nfs: null, volumeAttributesClassName: a, csi: {driver: d, volumeHandle: h}}}`, `{spec: {volumeAttributesClassName: null}}`, "spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden"},
		"attributes change":  {`{spec: {nfs: null, volumeAttributesClassName: a, csi: {driver: d, volumeHandle: h}}}`, `{spec: {volumeAttributesClassName: b}}`, ""},
		"no longer a volume": {"", `{spec: {capacity: null}}`, "spec.capacity: Required value"},
	} {
		t.Run(name, func(t *testing.T) {
			errs := validateUpdate(t.Context(), volume(t, c.old, c.change), volume(t, c.old))
			switch {
			case c.want == "":
				checktest.Want(t, errs)
			case len(errs) == 0 || !strings.HasPrefix(errs[0].Error(), c.want):
				t.Errorf("got %v, want %s", errs.ToAggregate(), c.want)
			}
		})
	}
}

func TestWarningsNameWhatIsGone(t *testing.T) {
	v := volume(t, `{metadata: {annotations: {volume.beta.kubernetes.io/storage-class: x}}, spec: {nfs: null, rbd: {monitors: [m], image: i},
		persistentVolumeReclaimPolicy: Recycle, nodeAffinity: `+terms("beta.kubernetes.io/os", "linux")+`}}`)
	want := []string{
		`metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead`,
		"spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
		`spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/os is deprecated since v1.14; use "kubernetes.io/os" instead`,
		"spec.rbd: deprecated in v1.28, non-functional in v1.31+",
	}
	if got := warn(t.Context(), v, nil); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestPhasesAreDated(t *testing.T) {
	at := func(minute int) *metav1.Time {
		m := metav1.NewTime(time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC))
		return &m
	}
	for name, c := range map[string]struct {
		phase     corev1.PersistentVolumePhase
		said      *metav1.Time
		want      *metav1.Time
		oldPhase  corev1.PersistentVolumePhase
		lastPhase *metav1.Time
	}{
		"same, silent":        {"Bound", nil, at(1), "Bound", at(1)},
		"same, client's":      {"Bound", at(2), at(2), "Bound", at(1)},
		"changed, silent":     {"Bound", nil, at(9), "Available", at(1)},
		"changed, old date":   {"Bound", at(1), at(9), "Available", at(1)},
		"changed, client's":   {"Bound", at(2), at(2), "Available", at(1)},
		"changed, never said": {"Bound", nil, at(9), "Available", nil},
	} {
		t.Run(name, func(t *testing.T) {
			v, old := &corev1.PersistentVolume{}, &corev1.PersistentVolume{}
			v.Status.Phase, v.Status.LastPhaseTransitionTime = c.phase, c.said
			old.Status.Phase, old.Status.LastPhaseTransitionTime = c.oldPhase, c.lastPhase
			dateStatus(v, old, *at(9))
			if !v.Status.LastPhaseTransitionTime.Equal(c.want) {
				t.Errorf("dated %v, want %v", v.Status.LastPhaseTransitionTime, c.want)
			}
		})
	}
}

func TestBoundVolumesStay(t *testing.T) {
	gone := metav1.Now()
	v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Finalizers: []string{"kubernetes.io/pv-protection"}, DeletionTimestamp: &gone}}
	v.Status.Phase = corev1.VolumeBound
	if _, change, _ := plan(v); change {
		t.Error("a bound volume goes")
	}
	v.Status.Phase = corev1.VolumeReleased
	if finalizers, change, _ := plan(v); !change || len(finalizers) > 0 {
		t.Errorf("a released volume stays: %q", finalizers)
	}
}
