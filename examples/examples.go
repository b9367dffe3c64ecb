// Package examples carries the manifests in this folder inside the binary, for dhow demo. They are ordinary
// files that kubectl applies as they are.
package examples

import "embed"

// TwoTier is a web tier behind a NodePort that asks a backend by its DNS name.
//
//go:embed two-tier/*.yaml
var TwoTier embed.FS
