package customresources_test

import (
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"dhow/api/admit/admittest"
)

func ruled(properties, rules string) string {
	return `{type: object, x-kubernetes-validations: [` + rules + `], properties: {` + properties + `}}`
}

// What rules say of an object that is made, or, if there is an old one, of the change to it.
func TestRulesDecide(t *testing.T) {
	w := start(t)
	for name, test := range map[string]struct{ schema, old, object, want string }{
		"passes":     {ruled(`size: {type: integer}`, `{rule: "self.size < 3"}`), "", `{size: 2}`, ""},
		"fails":      {ruled(`size: {type: integer}`, `{rule: "self.size < 3"}`), "", `{size: 3}`, `Thing.fails.example.com "a" is invalid: <nil>: Invalid value: failed rule: self.size < 3`},
		"message":    {ruled(`size: {type: integer}`, `{rule: "self.size < 3", message: too big}`), "", `{size: 3}`, `Invalid value: too big`},
		"spoken":     {ruled(`size: {type: integer}`, `{rule: "self.size < 3", message: too big, messageExpression: "self.size > 9 ? 'huge' : 'big'"}`), "", `{size: 3}`, `Invalid value: big`},
		"path":       {ruled(`size: {type: integer}`, `{rule: "self.size < 3", fieldPath: .size, reason: FieldValueForbidden, message: too big}`), "", `{size: 3}`, `size: Forbidden: too big`},
		"nested":     {ruled(`list: {type: array, maxItems: 5, items: {type: object, properties: {num: {type: integer, x-kubernetes-validations: [{rule: "self > 0"}]}}}}`, ``), "", `{list: [{num: 1}, {num: 0}]}`, `list[1].num: Invalid value: 0: failed rule: self > 0`},
		"metadata":   {ruled(``, `{rule: "self.metadata.name.startsWith('b')", message: name}`), "", `{}`, `Invalid value: name`},
		"absent":     {ruled(`size: {type: integer}`, `{rule: "!has(self.size) || self.size > 1"}`), "", `{}`, ``},
		"breaks":     {ruled(`size: {type: integer}`, `{rule: "self.size > 1"}`), "", `{}`, `no such key: size`},
		"transition": {ruled(`size: {type: integer}`, `{rule: "self.size >= oldSelf.size", message: it grows}`), `{size: 2}`, `{size: 1}`, `it grows`},
		"grows":      {ruled(`size: {type: integer}`, `{rule: "self.size >= oldSelf.size", message: it grows}`), `{size: 2}`, `{size: 3}`, ``},
		"first":      {ruled(`size: {type: integer}`, `{rule: "self.size >= oldSelf.size", message: it grows}`), "", `{size: 1}`, ``},
		"optional":   {ruled(`size: {type: integer}`, `{rule: "oldSelf.hasValue() || self.size == 1", optionalOldSelf: true, message: it starts small}`), "", `{size: 2}`, `it starts small`},
		"later":      {ruled(`size: {type: integer}`, `{rule: "oldSelf.hasValue() || self.size == 1", optionalOldSelf: true, message: it starts small}`), `{size: 1}`, `{size: 2}`, ``},
		"keyed":      {ruled(`list: {type: array, maxItems: 9, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [k], items: {type: object, required: [k], properties: {k: {type: string}, v: {type: integer, x-kubernetes-validations: [{rule: "self == oldSelf", message: fixed}]}}}}`, ``), `{list: [{k: a, v: 1}, {k: b, v: 2}]}`, `{list: [{k: b, v: 3}, {k: a, v: 1}]}`, `list[0].v: Invalid value: 3: fixed`},
		"expensive":  {ruled(`list: {type: array, maxItems: 300, items: {type: integer}}`, `{rule: "self.list.all(a, self.list.all(b, a + b > 0))"}`), "", `{list: [` + strings.TrimSuffix(strings.Repeat("1,", 300), ",") + `]}`, ``},
		"format":     {ruled(`at: {type: string, format: date-time}, d: {type: string, format: duration}`, `{rule: "self.at > timestamp('2020-01-01T00:00:00Z') && self.d < duration('1h')"}`), "", `{at: "2021-01-01T00:00:00Z", d: 2h}`, `failed rule`},
	} {
		t.Run(name, func(t *testing.T) {
			client := w.serve(t, name, test.schema)
			object := test.object
			if test.old != "" {
				object = test.old
			}
			_, err := create(t, client, name, object)
			if test.old != "" {
				if err != nil {
					t.Fatal(err)
				}
				err = update(t, client, name, test.object)
			}
			if !told(err, test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

// What was let in before rules became stricter stays in as long as nobody touches it.
func TestUnchangedFieldsAreLetThrough(t *testing.T) {
	w := start(t)
	client := w.serve(t, "ratchet", `{type: object, properties: {size: {type: integer}, color: {type: string}, list: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [k], items: {type: object, required: [k], properties: {k: {type: string}, v: {type: string}}}}}}`)
	if _, err := create(t, client, "ratchet", `{size: 9, color: Red, list: [{k: a, v: Long}]}`); err != nil {
		t.Fatal(err)
	}
	strict := *admittest.YAML[apiextensionsv1.JSONSchemaProps](t, `{type: object, required: [shape], properties: {shape: {type: string}, size: {type: integer, maximum: 5}, color: {type: string, maxLength: 10, x-kubernetes-validations: [{rule: "self == self.lowerAscii()", message: small letters}]},
		list: {type: array, maxItems: 9, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [k], items: {type: object, required: [k], properties: {k: {type: string}, v: {type: string, maxLength: 2}}}}}}`)
	w.redefine(t, "ratchet", func(s *apiextensionsv1.CustomResourceDefinitionSpec) { s.Versions[0].Schema.OpenAPIV3Schema = &strict }, func() bool {
		_, err := create(t, client, "ratchet", `{metadata: {name: b}, size: 9}`)
		return err != nil
	})
	for _, test := range []struct{ object, want string }{
		{`{shape: round, size: 9, color: Red, list: [{k: a, v: Long}]}`, ""},
		{`{shape: round, size: 9, color: Red, list: [{k: b, v: ok}, {k: a, v: Long}]}`, ""},
		{`{shape: round, size: 8, color: Red, list: [{k: a, v: Long}]}`, "size: Invalid value: 8: size in body should be less than or equal to 5"},
		{`{shape: round, size: 9, color: Blue, list: [{k: a, v: Long}]}`, "color: Invalid value: \"Blue\": small letters"},
		{`{shape: round, size: 9, color: Red, list: [{k: a, v: Longer}]}`, "list[0].v: Too long: may not be more than 2"},
		{`{size: 9, color: Red, list: [{k: a, v: Long}]}`, "shape: Required value"},
	} {
		if err := update(t, client, "ratchet", test.object); !told(err, test.want) {
			t.Errorf("%s\ngot  %v\nwant %s", test.object, err, test.want)
		}
	}
}

func TestWhatIsWrongWithDefinitionsIsTold(t *testing.T) {
	w := start(t)
	unbounded := `list: {type: array, items: {type: string}}`
	for name, test := range map[string]struct{ spec, want string }{
		"cost":        {ruled(unbounded, `{rule: "self.list.all(a, self.list.all(b, a == b))"}`), "estimated rule cost exceeds budget by factor of"},
		"total":       {ruled(unbounded, strings.TrimSuffix(strings.Repeat(`{rule: "self.list.all(a, a.contains('b'))"}, `, 3), ", ")), "exceeds budget by factor of"},
		"syntax":      {ruled(`size: {type: integer}`, `{rule: "self.size <"}`), "compilation failed: ERROR: <input>:1:12: Syntax error"},
		"type":        {ruled(`size: {type: integer}`, `{rule: "self.size == 'a'"}`), "no matching overload for '_==_' applied to '(int, string)'"},
		"field":       {ruled(`size: {type: integer}`, `{rule: "self.sise > 1"}`), "undefined field 'sise'"},
		"bool":        {ruled(`size: {type: integer}`, `{rule: "self.size"}`), "must evaluate to a bool"},
		"spoken":      {ruled(`size: {type: integer}`, `{rule: "true", messageExpression: "self.size"}`), "messageExpression must evaluate to a string"},
		"path":        {ruled(`size: {type: integer}`, `{rule: "true", fieldPath: .none}`), "must be a valid path"},
		"optional":    {ruled(`size: {type: integer}`, `{rule: "true", optionalOldSelf: true}`), "may not be set if oldSelf is not used in rule"},
		"in-a-set":    {ruled(`list: {type: array, x-kubernetes-list-type: set, maxItems: 2, items: {type: string, maxLength: 9, x-kubernetes-validations: [{rule: "self == oldSelf"}]}}`, ``), "oldSelf cannot be used on the uncorrelatable portion of the schema"},
		"structural":  {`{properties: {size: {type: integer}}}`, "type: Required value: must not be empty at the root"},
		"default":     {`{type: object, properties: {size: {type: integer, default: large}}}`, `default: Invalid value: "string"`},
		"default-cel": {`{type: object, properties: {size: {type: integer, default: 7, x-kubernetes-validations: [{rule: "self < 5", message: small}]}}}`, "default: Invalid value: 7: small"},
		"selectable":  {`{` + versions(sized, `selectableFields: [{jsonPath: .none}]`) + `}`, "spec.selectableFields[0].jsonPath: Invalid value: \".none\": is an invalid path: does not refer to a valid field"},
		"scale":       {`{` + versions(sized, `subresources: {scale: {specReplicasPath: replicas, statusReplicasPath: .status.replicas}}`) + `}`, "must be a simple json path starting with ."},
		"storage":     {`{versions: [{name: v1, served: true, storage: false, schema: {openAPIV3Schema: ` + sized + `}}]}`, "must have exactly one version marked as storage version"},
		"preserve":    {`{preserveUnknownFields: true, ` + versions(sized, "") + `}`, "spec.preserveUnknownFields: Invalid value: true: cannot set to true"},
		"conversion":  {`{conversion: {strategy: Webhook}, ` + versions(sized, "") + `}`, "spec.conversion.webhook"},
		"map-keys":    {`{type: object, properties: {list: {type: array, x-kubernetes-list-type: map, items: {type: object, properties: {k: {type: string}}}}}}`, "x-kubernetes-list-map-keys"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := w.define(t, name, test.spec); !told(err, test.want) || !strings.Contains(err.Error(), "is invalid: ") {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}
