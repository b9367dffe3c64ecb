package openapi

import (
	"bytes"
	_ "embed" // of the schemas
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/klauspost/compress/zstd"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// packed are the schemas of all API types; see gen/main.go for their form.
//
//go:embed schemas.zst
var packed []byte

// schemas are the types by name.
type schemas map[string]schemaRecord

// schemaRecord is one type: what else it is made of, and its schema as JSON for each version of OpenAPI.
type schemaRecord struct {
	needs  string // names between spaces
	v2, v3 []byte
}

// unpack reads the schemas anew: 4 MB that nobody need keep.
func unpack() (schemas, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer decoder.Close()
	text, err := decoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack schemas of API types: %w", err)
	}
	all := schemas{}
	for line := range bytes.Lines(text) {
		fields := bytes.Split(bytes.TrimSuffix(line, []byte("\n")), []byte("\t"))
		if len(fields) != 4 {
			return nil, errors.New("unpack schemas of API types: a line has not four fields")
		}
		all[string(fields[0])] = schemaRecord{needs: string(fields[1]), v2: fields[2], v3: fields[3]}
	}
	return all, nil
}

// skeletons are what the library needs to find out which types a path uses: names and what they are made of.
func (s schemas) skeletons(common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	all := make(map[string]common.OpenAPIDefinition, len(s))
	for name, record := range s {
		all[name] = common.OpenAPIDefinition{Dependencies: strings.Fields(record.needs)}
	}
	return all
}

// ownName: types are named in skeletons as they are in documents.
func ownName(name string) (string, spec.Extensions) { return name, nil }

// texts are the schemas of the given names, as text finds them in a record.
func texts[T any](s schemas, used map[string]T, text func(schemaRecord) []byte) map[string]json.RawMessage {
	all := make(map[string]json.RawMessage, len(used))
	for name := range used {
		all[name] = text(s[name])
	}
	return all
}
