package kernel

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a proc file system of a kernel that has everything but what a test leaves out.
func machine(t *testing.T, without string) Machine {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var files []string
	for _, name := range []string{"overlay", "tmpfs", "ext4"} {
		if name != without {
			files = append(files, "nodev\t"+name)
		}
	}
	write("filesystems", strings.Join(files, "\n")+"\n")
	groups := "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
	for _, name := range []string{"cpu", "memory", "pids"} {
		on := "1"
		if name == without {
			on = "0"
		}
		groups += name + "\t1\t1\t" + on + "\n"
	}
	write("cgroups", groups)
	for _, name := range []string{"net", "pid", "ipc", "uts", "mnt", "cgroup"} {
		if name != without {
			write("self/ns/"+name, "")
		}
	}
	m := Machine{Proc: dir, Cgroup: dir, Tables: func() error { return nil }}
	if without == "nftables" {
		m.Tables = func() error { return errors.New("protocol not supported") }
	}
	return m
}

func TestWhatIsMissingIsNamedWithItsOption(t *testing.T) {
	for without, want := range map[string]string{
		"overlay": "CONFIG_OVERLAY_FS", "memory": "cgroup_enable=memory", "pids": "CONFIG_CGROUP_PIDS", "net": "CONFIG_NET_NS", "nftables": "CONFIG_NF_TABLES",
	} {
		err := machine(t, without).Check()
		if err == nil || !strings.Contains(err.Error(), without) || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", without, err)
		}
	}
}

func TestAWholeKernelPasses(t *testing.T) {
	if err := machine(t, "").Check(); err != nil {
		t.Error(err)
	}
}

func TestThisMachinePasses(t *testing.T) {
	if err := (Machine{}).Check(); err != nil {
		t.Error(err)
	}
}
