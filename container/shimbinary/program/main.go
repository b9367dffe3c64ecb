// Command program is the shim alone: a few megabytes instead of the whole server, for each pod and each start of a
// container. `make build` builds it first and puts it into the server; see container/shimbinary.
package main

import (
	"fmt"
	"os"

	// It plays the shim's part as it is initialised.
	_ "dhow/container/shimentry"
)

func main() {
	fmt.Fprintln(os.Stderr, "this is the part of dhow that holds a pod; dhow starts it")
	os.Exit(2)
}
