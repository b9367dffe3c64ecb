package customresources

import (
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	apiopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// schemas describe the named types and all that is in them.
func schemas(types ...string) (map[string]*spec.Schema, error) {
	namer := apiopenapi.NewDefinitionNamer(apiextensions.Scheme)
	return builder3.BuildOpenAPIDefinitionsForResources(&common.OpenAPIV3Config{
		GetDefinitionName: namer.GetDefinitionName, GetDefinitions: openapi.GetOpenAPIDefinitions,
	}, types...)
}

// Types merges what is applied to definitions; it builds their schema when that is first done.
type Types struct {
	once  sync.Once
	built managedfields.TypeConverter
	err   error
}

func (t *Types) get() (managedfields.TypeConverter, error) {
	t.once.Do(func() {
		var all map[string]*spec.Schema
		if all, t.err = schemas(apiextensionsv1.CustomResourceDefinition{}.OpenAPIModelName()); t.err == nil {
			t.built, t.err = managedfields.NewTypeConverter(all, false)
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
