#!/bin/sh
# Makes Go definitions of the schemas of all API types, in gen/definitions, from the types' sources.
set -eu
header=$(mktemp)
trap 'rm -f "$header"' EXIT
api=$(go list -f '{{.ImportPath}}' k8s.io/api/... | grep -E '/v[0-9][a-z0-9]*$' | grep -vE '/(admission|apidiscovery|imagepolicy)/')
types="$api
k8s.io/apimachinery/pkg/api/resource
k8s.io/apimachinery/pkg/apis/meta/v1
k8s.io/apimachinery/pkg/runtime
k8s.io/apimachinery/pkg/util/intstr
k8s.io/apimachinery/pkg/version
k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1
k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
# Model names are in those packages already: --readonly-pkg keeps the generator from writing them.
go tool openapi-gen --output-dir gen/definitions --output-pkg dhow/apiserver/openapi/gen/definitions \
	--output-model-name-file zz_generated.model_name.go --readonly-pkg "$(echo "$types" | paste -sd,)" \
	--report-filename /dev/null --go-header-file "$header" $types
