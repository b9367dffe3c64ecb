//go:build tools

package main

// The suite is built out of this module, by go test -c.
import _ "sigs.k8s.io/cri-tools/pkg/validate"
