package csi

import (
	"slices"
	"strings"
	"testing"

	storagev1 "k8s.io/api/storage/v1"

	"dhow/api/check/checktest"
)

const subdomain = `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`

func driver(t *testing.T, changes ...string) *storagev1.CSIDriver {
	t.Helper()
	d := checktest.Object[storagev1.CSIDriver](t, `{metadata: {name: d}}`, changes...)
	DefaultDriver(d)
	return d
}

func TestWhatADriverMayBe(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		want   []string
	}{
		"good":     {`{spec: {tokenRequests: [{audience: a}, {audience: b, expirationSeconds: 600}], serviceAccountTokenInSecrets: true}}`, nil},
		"policy":   {`{spec: {fsGroupPolicy: Maybe}}`, []string{`spec.fsGroupPolicy: Unsupported value: "Maybe": supported values: "File", "None", "ReadWriteOnceWithFSType"`}},
		"modes":    {`{spec: {volumeLifecycleModes: [Eternal]}}`, []string{`spec.volumeLifecycleModes: Unsupported value: "Eternal": supported values: "Persistent", "Ephemeral"`}},
		"audience": {`{spec: {tokenRequests: [{audience: a}, {audience: a}]}}`, []string{`spec.tokenRequests[1].audience: Duplicate value: "a"`}},
		"short":    {`{spec: {tokenRequests: [{audience: a, expirationSeconds: 599}]}}`, []string{"spec.tokenRequests[0].expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"}},
		"long":     {`{spec: {tokenRequests: [{audience: a, expirationSeconds: 4294967297}]}}`, []string{"spec.tokenRequests[0].expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds"}},
		"secrets":  {`{spec: {serviceAccountTokenInSecrets: true}}`, []string{"spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set but no tokenRequests are specified"}},
		"period":   {`{spec: {nodeAllocatableUpdatePeriodSeconds: 9}}`, []string{"spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds"}},
	} {
		t.Run(name, func(t *testing.T) { checktest.Want(t, validateDriver(t.Context(), driver(t, c.change)), c.want...) })
	}
	checktest.Want(t, validateDriver(t.Context(), &storagev1.CSIDriver{}), "spec.attachedRequired: Required value", "spec.podInfoOnMount: Required value",
		"spec.storageCapacity: Required value", "spec.seLinuxMount: Required value", "spec.preventPodSchedulingIfMissing: Required value")
	checktest.Want(t, validateDriverUpdate(t.Context(), driver(t, `{spec: {attachRequired: false, volumeLifecycleModes: [Ephemeral], podInfoOnMount: true}}`), driver(t)),
		"spec.attachedRequired: Invalid value: false: field is immutable", `spec.volumeLifecycleModes: Invalid value: ["Ephemeral"]: field is immutable`)
}

func TestTokensInLogsAreWarnedOf(t *testing.T) {
	tokens := driver(t, `{spec: {tokenRequests: [{audience: a}]}}`)
	if got := warnDriver(t.Context(), tokens, nil); len(got) != 1 || !strings.HasPrefix(got[0], "spec.serviceAccountTokenInSecrets is unset; ") {
		t.Errorf("on create: %q", got)
	}
	if got := warnDriver(t.Context(), tokens, tokens); got != nil {
		t.Errorf("unchanged: %q", got)
	}
	if got := warnDriver(t.Context(), driver(t, `{spec: {tokenRequests: [{audience: a}], serviceAccountTokenInSecrets: false}}`), nil); got != nil {
		t.Errorf("chosen: %q", got)
	}
}

func TestDriversOfANode(t *testing.T) {
	node := func(drivers string) *storagev1.CSINode {
		return checktest.Object[storagev1.CSINode](t, `{metadata: {name: n}, spec: {drivers: [`+drivers+`]}}`)
	}
	const one = `{name: a, nodeID: i, topologyKeys: [k], allocatable: {count: 3}}`
	for drivers, want := range map[string][]string{
		one:                            nil,
		`{name: "", nodeID: ""}`:       {"spec.drivers[0].name: Required value", "spec.drivers[0].nodeID: Required value"},
		one + `, {name: a, nodeID: j}`: {`spec.drivers[1].name: Duplicate value: "a"`},
		`{name: a, nodeID: i, topologyKeys: [k, k]}`:          {`spec.drivers[0]: Duplicate value: "k"`},
		`{name: a, nodeID: i, allocatable: {count: -1}}`:      {"spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0"},
		`{name: a, nodeID: ` + strings.Repeat("x", 257) + `}`: {`spec.drivers[0].nodeID: Invalid value: "` + strings.Repeat("x", 257) + `": must be 256 characters or less`},
	} {
		checktest.Want(t, validateNode(t.Context(), node(drivers)), want...)
	}
	for drivers, allowed := range map[string]bool{
		one + `, {name: b, nodeID: i}`: true,
		``:                             true,
		`{name: a, nodeID: i, topologyKeys: [k], allocatable: {count: 9}}`: true,
		`{name: a, nodeID: j, topologyKeys: [k]}`:                          false,
		`{name: a, nodeID: i}`:                                             false,
	} {
		errs := validateNodeUpdate(t.Context(), node(drivers), node(one))
		if (len(errs) == 0) != allowed {
			t.Errorf("%s: %v", drivers, errs.ToAggregate())
		}
		if !allowed && (errs[0].Field != "spec.drivers" || errs[0].Detail != "field is immutable") {
			t.Errorf("%s: %v", drivers, errs)
		}
	}
}

func TestCapacitiesStayWhereTheyAre(t *testing.T) {
	capacity := func(changes ...string) *storagev1.CSIStorageCapacity {
		return checktest.Object[storagev1.CSIStorageCapacity](t, `{metadata: {name: c}, storageClassName: s, nodeTopology: {matchLabels: {a: b}}}`, changes...)
	}
	checktest.Want(t, validateCapacity(t.Context(), capacity(`{capacity: 1Gi}`)))
	checktest.Want(t, validateCapacity(t.Context(), capacity(`{capacity: "-1", storageClassName: A}`)),
		`capacity: Invalid value: "-1": must be greater than or equal to 0`, `storageClassName: Invalid value: "A": `+subdomain)
	checktest.Want(t, validateCapacityUpdate(t.Context(), capacity(`{capacity: 1Gi}`), capacity()))
	checktest.Want(t, validateCapacityUpdate(t.Context(), capacity(`{storageClassName: t, nodeTopology: null}`), capacity()),
		"nodeTopology: Invalid value: null: field is immutable", `storageClassName: Invalid value: "t": field is immutable`)
}

func TestWhatAnAttachmentMayBe(t *testing.T) {
	attachment := func(changes ...string) *storagev1.VolumeAttachment {
		return checktest.Object[storagev1.VolumeAttachment](t, `{metadata: {name: a}, spec: {attacher: d, nodeName: n1, source: {persistentVolumeName: v}}}`, changes...)
	}
	const inline = `{spec: {source: {persistentVolumeName: null, inlineVolumeSpec: {accessModes: [ReadWriteOnce], csi: {driver: d, volumeHandle: h}}}}}`
	for name, c := range map[string]struct {
		changes []string
		want    []string
	}{
		"good":    {nil, nil},
		"inline":  {[]string{inline}, nil},
		"both":    {[]string{inline, `{spec: {source: {persistentVolumeName: v}}}`}, []string{"spec.source: Forbidden: must specify exactly one of inlineVolumeSpec and persistentVolumeName"}},
		"neither": {[]string{`{spec: {source: {persistentVolumeName: null}}}`}, []string{"spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"}},
		"nothing": {[]string{`{spec: {attacher: "", source: {persistentVolumeName: ""}}}`}, []string{"spec.attacher: Required value", "spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName", `spec.source.persistentVolumeName: Invalid value: "": ` + subdomain}},
		"inline, bound": {[]string{inline, `{spec: {source: {inlineVolumeSpec: {claimRef: {name: c}, capacity: {storage: 1Gi}, storageClassName: s, volumeMode: Block, nodeAffinity: {}, persistentVolumeReclaimPolicy: Delete}}}}`}, []string{
			"spec.source.inlineVolumeSpec.claimRef: Forbidden: may not be specified in the context of inline volumes",
			"spec.source.inlineVolumeSpec.capacity: Forbidden: may not be specified in the context of inline volumes",
			"spec.source.inlineVolumeSpec.storageClassName: Forbidden: may not be specified in the context of inline volumes",
			"spec.source.inlineVolumeSpec.nodeAffinity: Forbidden: may not be specified in the context of inline volumes",
			"spec.source.inlineVolumeSpec.volumeMode: Forbidden: may not specify volumeMode other than Filesystem in the context of inline volumes",
			"spec.source.inlineVolumeSpec.persistentVolumeReclaimPolicy: Forbidden: may only be Retain in the context of inline volumes"}},
		"errors": {[]string{`{status: {attached: false, attachError: {message: ` + strings.Repeat("x", 1025) + `}, detachError: {errorCode: -1}}}`}, []string{
			"status.attachError.message: Too long: may not be more than 262144 bytes", "status.detachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive"}},
	} {
		t.Run(name, func(t *testing.T) {
			checktest.Want(t, validateAttachment(t.Context(), attachment(c.changes...)), c.want...)
		})
	}
	errs := validateAttachmentUpdate(t.Context(), attachment(`{spec: {nodeName: m}}`), attachment())
	if len(errs) != 1 || errs[0].Field != "spec" || errs[0].Detail != "field is immutable" {
		t.Errorf("it moves: %v", errs)
	}
}

func TestAttributesClassesDoNotChange(t *testing.T) {
	class := func(changes ...string) *storagev1.VolumeAttributesClass {
		return checktest.Object[storagev1.VolumeAttributesClass](t, `{metadata: {name: c}, driverName: d, parameters: {a: b}}`, changes...)
	}
	checktest.Want(t, validateAttributesClass(t.Context(), class()))
	checktest.Want(t, validateAttributesClass(t.Context(), class(`{driverName: "", parameters: null}`)),
		"driverName: Required value", "parameters: Required value: must contain at least one key/value pair")
	checktest.Want(t, validateAttributesClassUpdate(t.Context(), class(`{driverName: e, parameters: {a: c}}`), class()),
		"driverName: Forbidden: updates to driverName are forbidden.", "parameters: Forbidden: updates to parameters are forbidden.")
}

func TestCellsOfADriver(t *testing.T) {
	got := driverCells(driver(t, `{spec: {tokenRequests: [{audience: a}, {audience: b}], volumeLifecycleModes: [Persistent, Ephemeral]}}`))
	if want := []any{true, false, false, "a,b", false, "Persistent,Ephemeral", "<unknown>"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
