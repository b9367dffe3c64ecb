package storageclass

import (
	"slices"
	"strings"
	"testing"

	storagev1 "k8s.io/api/storage/v1"

	"dhow/api/check/checktest"
)

func classOf(t *testing.T, changes ...string) *storagev1.StorageClass {
	t.Helper()
	c := checktest.Object[storagev1.StorageClass](t, `{metadata: {name: c}, provisioner: example.com/p}`, changes...)
	Default(c)
	return c
}

func TestWhatAClassMayBe(t *testing.T) {
	const zones = `{key: zone, values: [a, b]}`
	for name, c := range map[string]struct {
		change string
		want   []string
	}{
		"good":           {`{parameters: {a: b}, allowedTopologies: [{matchLabelExpressions: [` + zones + `]}]}`, nil},
		"no provisioner": {`{provisioner: ""}`, []string{"provisioner: Required value"}},
		"big letters":    {`{provisioner: Example.com/P}`, nil},
		"empty key":      {`{parameters: {"": b}}`, []string{`parameters: Invalid value: "": field can not be empty.`}},
		"too much":       {`{parameters: {a: ` + strings.Repeat("x", 256<<10) + `}}`, []string{"parameters: Too long: may not be more than 262144 bytes"}},
		"recycle":        {`{reclaimPolicy: Recycle}`, []string{`reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"`}},
		"mode":           {`{volumeBindingMode: Soon}`, []string{`volumeBindingMode: Unsupported value: "Soon": supported values: "Immediate", "WaitForFirstConsumer"`}},
		"no values":      {`{allowedTopologies: [{matchLabelExpressions: [{key: zone}]}]}`, []string{"allowedTopologies[0].matchLabelExpressions[0].values: Required value"}},
		"value twice":    {`{allowedTopologies: [{matchLabelExpressions: [{key: zone, values: [a, a]}]}]}`, []string{`allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "a"`}},
		"key twice":      {`{allowedTopologies: [{matchLabelExpressions: [` + zones + `, ` + zones + `]}]}`, []string{`allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "zone"`}},
		"same terms": {`{allowedTopologies: [{matchLabelExpressions: [` + zones + `]}, {matchLabelExpressions: [{key: zone, values: [b, a]}]}]}`,
			[]string{`allowedTopologies[1].matchLabelExpressions: Duplicate value: ""`}},
	} {
		t.Run(name, func(t *testing.T) { checktest.Want(t, validate(t.Context(), classOf(t, c.change)), c.want...) })
	}
}

func TestWhatOfAClassMayChange(t *testing.T) {
	for change, want := range map[string][]string{
		`{allowVolumeExpansion: true, mountOptions: [ro], metadata: {labels: {a: b}}}`: nil,
		`{provisioner: q}`:                          {`provisioner: Invalid value: "q": field is immutable`},
		`{parameters: {a: b}}`:                      {`parameters: Invalid value: {"a":"b"}: field is immutable`},
		`{reclaimPolicy: Retain}`:                   {`reclaimPolicy: Invalid value: "Retain": field is immutable`},
		`{volumeBindingMode: WaitForFirstConsumer}`: {`volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable`},
	} {
		checktest.Want(t, validateUpdate(t.Context(), classOf(t, change), classOf(t)), want...)
	}
}

func TestTheDefaultClassIsMarked(t *testing.T) {
	c := classOf(t, `{metadata: {annotations: {storageclass.kubernetes.io/is-default-class: "true"}}}`)
	want := []any{"c (default)", "example.com/p", "Delete", "Immediate", false, "<unknown>"}
	if got := cells(c); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if columns := columns(); len(columns) != len(want) {
		t.Errorf("%d columns", len(columns))
	}
}

func TestOldNodeLabelsAreWarnedOf(t *testing.T) {
	c := classOf(t, `{allowedTopologies: [{matchLabelExpressions: [{key: failure-domain.beta.kubernetes.io/zone, values: [a]}]}]}`)
	want := []string{`allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.17; use "topology.kubernetes.io/zone" instead`}
	if got := warn(t.Context(), c, nil); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
