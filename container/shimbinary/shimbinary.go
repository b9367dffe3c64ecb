// Package shimbinary holds the shim as a program of its own, compressed, where the build has put it in: `make build` does, under the
// tag shimbinary. Without it the whole program plays the shim, which works as well but costs each pod 1.4 MB more and
// each start of a container some milliseconds (docs/benchmarks.md).
package shimbinary

import (
	"errors"

	"dhow/internal/packed"
)

// BuiltIn tells whether the build has put the shim in.
func BuiltIn() bool { return program != nil }

// Open is the shim's program; an error where it was not built in.
func Open() (*packed.Program, error) {
	if !BuiltIn() {
		return nil, errors.New("no shim is built in")
	}
	return packed.Open(program)
}
