package emulate

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestAnArchitectureRunsHereIfAnEmulatorIsSwitchedOn(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"qemu-aarch64": "enabled\ninterpreter /usr/bin/qemu-aarch64\n", "qemu-s390x": "disabled\n", "riscv64": "enabled\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for architecture, want := range map[string]bool{"arm64": true, "s390x": false, "riscv64": true, "ppc64le": false} {
		if got := registered(dir, architecture); got != want {
			t.Errorf("registered(%s) = %v", architecture, got)
		}
	}
	if !Runs(runtime.GOARCH) || !Runs("") {
		t.Error("this machine does not run its own programs")
	}
}
