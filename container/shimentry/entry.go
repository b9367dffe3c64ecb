// Package shimentry turns the process into a shim, or a container's init, when its arguments say so, before
// most of the program's packages initialise themselves: a shim must not pay for all of them in time and memory. It
// imports little, so that Go's order of initialisation (by dependency, then by import path) puts it early.
package shimentry

import (
	"os"

	"dhow/container/oci/inside"
	"dhow/container/shim"
)

func init() {
	shim.Played(os.Args)
	inside.Played(os.Args)
}
