// Package openapi publishes what the API's types and paths are, as OpenAPI v2 and v3: what kubectl explains and checks
// manifests by. Documents are made when somebody asks for them and kept packed; nothing is built at start-up.
package openapi

//go:generate gen/definitions.sh
//go:generate go run gen/main.go -o schemas.zst
//go:generate rm -r gen/definitions
//go:generate sh -c "gen/definitions.sh --sources > sources.sum"
