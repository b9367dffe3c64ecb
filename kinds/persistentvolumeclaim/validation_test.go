package persistentvolumeclaim

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"dhow/api/check/checktest"
)

const good = `{metadata: {name: c}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}}`

func claim(t *testing.T, changes ...string) *corev1.PersistentVolumeClaim {
	t.Helper()
	c := checktest.Object[corev1.PersistentVolumeClaim](t, good, changes...)
	Default(c)
	return c
}

func TestWhatAClaimMayAskFor(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		want   []string
	}{
		"good":      {"{}", nil},
		"nothing":   {`{spec: null}`, []string{"spec.accessModes: Required value: at least 1 access mode is required", "spec.resources[storage]: Required value"}},
		"no bytes":  {`{spec: {resources: {requests: {storage: "0"}}}}`, []string{`spec.resources[storage]: Invalid value: "0": must be greater than zero`}},
		"one pod":   {`{spec: {accessModes: [ReadWriteOncePod, ReadOnlyMany]}}`, []string{"spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"}},
		"no mode":   {`{spec: {accessModes: [ReadWriteOncePod, Sometimes]}}`, []string{`spec.accessModes: Unsupported value: "Sometimes": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"`}},
		"selector":  {`{spec: {selector: {matchLabels: {a: "-"}}}}`, []string{`spec.selector.matchLabels: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`}},
		"two kinds": {`{spec: {dataSource: {kind: PersistentVolumeClaim, name: a}, dataSourceRef: {kind: PersistentVolumeClaim, name: b}}}`, []string{`spec: Invalid value: "spec.dataSource": must match dataSourceRef`}},
		"source":    {`{spec: {dataSource: {kind: Pod, name: ""}}}`, []string{"spec.dataSource.name: Required value", `spec.dataSource: Invalid value: "Pod": must be 'PersistentVolumeClaim' when referencing the default apiGroup`}},
	} {
		t.Run(name, func(t *testing.T) {
			errs := validate(t.Context(), claim(t, c.change))
			for i := range errs { // a path is printed as a structure of its own
				if errs[i].Detail == "must match dataSourceRef" {
					errs[i].BadValue = "spec.dataSource"
				}
			}
			checktest.Want(t, errs, c.want...)
		})
	}
}

func TestWhatOfAClaimMayChange(t *testing.T) {
	const (
		bound     = `{spec: {volumeName: v, volumeAttributesClassName: a}, status: {phase: Bound, capacity: {storage: 1Gi}, currentVolumeAttributesClassName: a}}`
		annotated = `{metadata: {annotations: {volume.beta.kubernetes.io/storage-class: x}}}`
		immutable = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n@@"
	)
	for name, c := range map[string]struct{ old, change, want string }{
		"volume once":             {"", `{spec: {volumeName: v}}`, ""},
		"volume twice":            {bound, `{spec: {volumeName: w}}`, immutable},
		"size while pending":      {"", `{spec: {resources: {requests: {storage: 3Gi}}}}`, immutable},
		"size when bound":         {bound, `{spec: {resources: {requests: {storage: 3Gi}}}}`, ""},
		"back while growing":      {bound, `{spec: {resources: {requests: {storage: 1500Mi}}}}`, ""},
		"less than it has":        {bound, `{spec: {resources: {requests: {storage: 1Gi}}}}`, "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"},
		"attributes":              {bound, `{spec: {volumeAttributesClassName: b}}`, ""},
		"no attributes":           {bound, `{spec: {volumeAttributesClassName: null}}`, "spec.volumeAttributesClassName: Forbidden: update to nil is forbidden when status.currentVolumeAttributesClassName is not nil"},
		"empty attributes":        {bound, `{spec: {volumeAttributesClassName: ""}}`, "spec.volumeAttributesClassName: Forbidden: update to empty string is forbidden when status.currentVolumeAttributesClassName is not nil"},
		"attributes of pending":   {"", `{spec: {volumeAttributesClassName: b}}`, immutable},
		"first class":             {"", `{spec: {storageClassName: x}}`, ""},
		"another class":           {`{spec: {storageClassName: x}}`, `{spec: {storageClassName: z}}`, immutable},
		"class of the annotation": {annotated, `{spec: {storageClassName: x}, metadata: {annotations: null}}`, ""},
		"class beside it":         {annotated, `{spec: {storageClassName: z}}`, immutable},
		"annotation":              {annotated, `{metadata: {annotations: null}}`, `metadata.annotations.volume.beta.kubernetes.io/storage-class: Invalid value: "": field is immutable`},
		"modes":                   {bound, `{spec: {accessModes: [ReadWriteMany]}}`, immutable},
		"block":                   {"", `{spec: {volumeMode: Block}}`, immutable},
		"labels":                  {"", `{metadata: {labels: {a: b}}}`, ""},
		"odd selector stays":      {`{spec: {selector: {matchExpressions: [{key: a, operator: In, values: ["-"]}]}}}`, "{}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			errs := validateUpdate(t.Context(), claim(t, c.old, c.change), claim(t, c.old))
			switch {
			case c.want == "":
				checktest.Want(t, errs)
			case len(errs) == 0 || !strings.HasPrefix(errs[0].Error(), c.want):
				t.Errorf("got %v, want %s", errs.ToAggregate(), c.want)
			}
		})
	}
}

func TestStatusNamesKnownResources(t *testing.T) {
	for change, want := range map[string][]string{
		`{status: {allocatedResources: {storage: 2Gi, example.com/x: 1}, allocatedResourceStatuses: {storage: NodeResizePending}}}`: nil,
		`{status: {capacity: {storage: "-1"}}}`:                  {"status.capacity[storage]: Invalid value: -1: must be a valid resource quantity"},
		`{status: {allocatedResources: {cpu: 1}}}`:               {`status.allocatedResources: Unsupported value: "cpu": supported values: "storage"`},
		`{status: {allocatedResourceStatuses: {storage: Soon}}}`: {`status.allocatedResourceStatuses: Unsupported value: "storage": supported values: "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"`},
	} {
		c := claim(t, change, "{metadata: {resourceVersion: '1'}}")
		checktest.Want(t, validateStatusUpdate(t.Context(), c, c), want...)
	}
}

func TestBothNamesOfASourceSayTheSame(t *testing.T) {
	const snapshot = `{apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: s}`
	for name, c := range map[string]struct{ spec, old, want string }{
		"older":             {`{dataSource: ` + snapshot + `}`, "{}", `{dataSource: ` + snapshot + `, dataSourceRef: ` + snapshot + `}`},
		"newer":             {`{dataSourceRef: {kind: PersistentVolumeClaim, name: c}}`, "{}", `{dataSource: {kind: PersistentVolumeClaim, name: c}, dataSourceRef: {kind: PersistentVolumeClaim, name: c}}`},
		"of no use":         {`{dataSource: {kind: Pod, name: p}}`, "{}", "{}"},
		"anything, newer":   {`{dataSourceRef: {apiGroup: x.io, kind: X, name: x}}`, "{}", `{dataSource: {apiGroup: x.io, kind: X, name: x}, dataSourceRef: {apiGroup: x.io, kind: X, name: x}}`},
		"anything, had":     {`{dataSource: {apiGroup: x.io, kind: X, name: x}}`, `{dataSource: {apiGroup: x.io, kind: X, name: x}}`, `{dataSource: {apiGroup: x.io, kind: X, name: x}, dataSourceRef: {apiGroup: x.io, kind: X, name: x}}`},
		"another namespace": {`{dataSourceRef: {kind: PersistentVolumeClaim, name: c, namespace: other}}`, "{}", "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := checktest.Object[corev1.PersistentVolumeClaimSpec](t, c.spec), checktest.Object[corev1.PersistentVolumeClaimSpec](t, c.want)
			prepareSources(got, checktest.Object[corev1.PersistentVolumeClaimSpec](t, c.old))
			if got.String() != want.String() {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestFractionsOfBytesAreWarnedOf(t *testing.T) {
	c := claim(t, `{metadata: {annotations: {volume.beta.kubernetes.io/storage-class: x}}, spec: {resources: {limits: {storage: 1500m}}}}`)
	want := []string{
		`metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead`,
		`spec.resources.limits[storage]: fractional byte value "1500m" is invalid, must be an integer`,
	}
	if got := warn(t.Context(), c, nil); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
