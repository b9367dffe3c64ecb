//go:build ignore

// Command main writes the schemas of all API types into one compressed file, from the definitions that openapi-gen has
// made out of the types' sources.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-openapi/pkg/builder"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"dhow/apiserver/openapi/gen/definitions"
)

func main() {
	out := flag.String("o", "schemas.zst", "file to write")
	flag.Parse()
	text, err := records()
	if err != nil {
		log.Fatal(err)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		log.Fatal(err)
	}
	packed := encoder.EncodeAll(text, nil)
	if err := os.WriteFile(*out, packed, 0o644); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %d types, %d bytes, %d packed\n", *out, bytes.Count(text, []byte("\n")), len(text), len(packed))
}

// records is one line a type: name, names of the types in it, schema for OpenAPI v2 and for v3, between tabs.
func records() ([]byte, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientscheme.AddToScheme, apiextensionsv1.AddToScheme, apiregistrationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	namer := apiopenapi.NewDefinitionNamer(scheme)
	all := definitions.GetOpenAPIDefinitions(func(name string) spec.Ref { return spec.MustCreateRef(name) })
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	v2, err := builder.BuildOpenAPIDefinitionsForResources(&common.Config{
		GetDefinitionName: namer.GetDefinitionName, GetDefinitions: definitions.GetOpenAPIDefinitions,
	}, names...)
	if err != nil {
		return nil, err
	}
	pruned := handler.PruneDefaults(v2.Definitions)
	v3, err := builder3.BuildOpenAPIDefinitionsForResources(&common.OpenAPIV3Config{
		GetDefinitionName: namer.GetDefinitionName, GetDefinitions: definitions.GetOpenAPIDefinitions,
	}, names...)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	for _, name := range names {
		older, err := json.Marshal(pruned[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		newer, err := json.Marshal(v3[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(&text, "%s\t%s\t%s\t%s\n", name, strings.Join(all[name].Dependencies, " "), older, newer)
	}
	return text.Bytes(), nil
}
