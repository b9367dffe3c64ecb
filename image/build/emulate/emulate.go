// Package emulate tells whether this machine runs the programs of another architecture.
package emulate

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// binfmts is where Linux tells which files are run by an emulator (binfmt_misc).
const binfmts = "/proc/sys/fs/binfmt_misc"

// emulators are what qemu calls the architectures that it calls otherwise than OCI.
var emulators = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i386", "ppc64le": "ppc64le", "mips64le": "mips64el", "loong64": "loongarch64"}

// Runs tells whether programs of an architecture run here.
func Runs(architecture string) bool {
	return architecture == "" || architecture == runtime.GOARCH || architecture == "386" && runtime.GOARCH == "amd64" ||
		registered(binfmts, architecture)
}

// registered looks for an emulator that is switched on.
func registered(dir, architecture string) bool {
	name := architecture
	if other, ok := emulators[architecture]; ok {
		name = other
	}
	for _, prefix := range []string{"qemu-", ""} {
		data, err := os.ReadFile(filepath.Join(dir, prefix+name))
		if err == nil && strings.HasPrefix(string(data), "enabled") {
			return true
		}
	}
	return false
}
