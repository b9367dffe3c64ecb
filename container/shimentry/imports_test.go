package shimentry

import (
	"go/build"
	"slices"
	"testing"
)

// early are the packages that the shim may import: all of them are initialised before the bulk of the program is. One
// that sorts late and needs much (net, os/exec, path/filepath …) would put everything before the shim's entry,
// and cost each pod some megabytes and each container some milliseconds. See with GODEBUG=inittrace=1.
var early = []string{
	"bufio", "bytes", "dhow/container/oci/inside", "dhow/container/shim", "dhow/container/shim/nofile", "dhow/container/shim/resolver", "dhow/container/shim/spawn", "encoding/base64", "encoding/binary", "encoding/json", "errors", "fmt", "golang.org/x/sys/unix", "io", "io/fs", "math", "os", "os/signal", "path",
	"runtime", "slices", "strconv", "strings", "sync", "sync/atomic", "syscall", "time", "unsafe",
}

func TestTheShimImportsLittle(t *testing.T) {
	for _, dir := range []string{".", "../shim", "../shim/nofile", "../shim/resolver", "../shim/spawn", "../oci/inside"} {
		p, err := build.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range p.Imports {
			if !slices.Contains(early, name) {
				t.Errorf("%s imports %s", p.Name, name)
			}
		}
	}
}
