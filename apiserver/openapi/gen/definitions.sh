#!/bin/sh
# Makes Go definitions of the schemas of all API types, in gen/definitions, from the types' sources. With --sources it
# only says which types those are, and of what content.
set -eu
cd "$(dirname "$0")/.."
api=$(go list -f '{{.ImportPath}}' k8s.io/api/... | grep -E '/v[0-9][a-z0-9]*$' | grep -vE '/(admission|apidiscovery|imagepolicy)/')
types="$api
k8s.io/apimachinery/pkg/api/resource
k8s.io/apimachinery/pkg/apis/meta/v1
k8s.io/apimachinery/pkg/runtime
k8s.io/apimachinery/pkg/util/intstr
k8s.io/apimachinery/pkg/version
k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1
k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
if [ "${1-}" = --sources ]; then
	cat gen/definitions.sh gen/main.go | sha256sum | sed 's|-|the generator|'
	go list -f '{{$p := .}}{{range .GoFiles}}{{$p.Dir}}/{{.}} {{$p.ImportPath}}{{"\n"}}{{end}}' $types | grep -v '^$' |
		awk '{ files[$2] = files[$2] " " $1; if (!($2 in seen)) { seen[$2]; order[++n] = $2 } }
			END { for (i = 1; i <= n; i++) print order[i] files[order[i]] }' |
		while read -r package files; do echo "$(cat $files | sha256sum | cut -d' ' -f1)  $package"; done
	exit
fi
header=$(mktemp)
trap 'rm -f "$header"' EXIT
# Model names are in those packages already: --readonly-pkg keeps the generator from writing them.
go tool openapi-gen --output-dir gen/definitions --output-pkg dhow/apiserver/openapi/gen/definitions \
	--output-model-name-file zz_generated.model_name.go --readonly-pkg "$(echo "$types" | paste -sd,)" \
	--report-filename /dev/null --go-header-file "$header" $types
