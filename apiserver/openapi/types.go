package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// Types merges applied objects of some types by their schemas, which it unpacks when somebody first applies.
type Types struct {
	// Names of the types, as documents have them.
	Names []string

	once  sync.Once
	built managedfields.TypeConverter
	err   error
}

var _ managedfields.TypeConverter = &Types{}

func (t *Types) get() (managedfields.TypeConverter, error) {
	t.once.Do(func() {
		var models map[string]*spec.Schema
		if models, t.err = models3(t.Names); t.err == nil {
			t.built, t.err = managedfields.NewTypeConverter(models, false)
		}
	})
	return t.built, t.err
}

// ObjectToTyped implements managedfields.TypeConverter.
func (t *Types) ObjectToTyped(obj runtime.Object, options ...typed.ValidationOptions) (*typed.TypedValue, error) {
	built, err := t.get()
	if err != nil {
		return nil, err
	}
	return built.ObjectToTyped(obj, options...)
}

// TypedToObject implements managedfields.TypeConverter.
func (t *Types) TypedToObject(value *typed.TypedValue) (runtime.Object, error) {
	built, err := t.get()
	if err != nil {
		return nil, err
	}
	return built.TypedToObject(value)
}

// models3 are the schemas of types and of all that is in them, as of OpenAPI v3.
func models3(names []string) (map[string]*spec.Schema, error) {
	known, err := unpack()
	if err != nil {
		return nil, err
	}
	models := map[string]*spec.Schema{}
	for open := names; len(open) > 0; {
		name := open[0]
		open = open[1:]
		if models[name] != nil {
			continue
		}
		record, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("there is no schema of %s", name)
		}
		models[name] = &spec.Schema{}
		if err := json.Unmarshal(record.v3, models[name]); err != nil {
			return nil, fmt.Errorf("schema of %s: %w", name, err)
		}
		open = append(open, references(record.v3)...)
	}
	return models, nil
}

// references are the names that a schema's text refers to.
func references(text []byte) (names []string) {
	for {
		_, after, found := bytes.Cut(text, []byte(`"$ref":"`))
		if !found {
			return names
		}
		ref, rest, _ := bytes.Cut(after, []byte(`"`))
		names = append(names, string(ref[bytes.LastIndexByte(ref, '/')+1:]))
		text = rest
	}
}
