package confine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCapabilitiesAreAddedAndDropped(t *testing.T) {
	own, err := OwnCapabilities()
	check(t, err)
	const usual, netRaw, netAdmin, chown = uint64(0xa80425fb), uint64(1 << 13), uint64(1 << 12), uint64(1)
	list := func(names ...string) []string { return names }
	for _, c := range []struct {
		what      string
		add, drop []string
		want      uint64
	}{
		{"nothing", nil, nil, usual},
		{"one more", list("net_admin"), nil, usual | netAdmin},
		{"one less", nil, list("CAP_NET_RAW"), usual &^ netRaw},
		{"none", nil, list("ALL"), 0},
		{"none but one", list("CAP_CHOWN"), list("all"), chown},
		{"all", list("ALL"), nil, own},
		{"all but one", list("ALL"), list("NET_RAW"), own &^ netRaw},
		{"one that is in both", list("NET_RAW"), list("NET_RAW"), usual},
		{"all, none and one", list("ALL", "CHOWN"), list("ALL"), chown},
	} {
		got, err := Capabilities(&cri.LinuxContainerSecurityContext{Capabilities: &cri.Capability{AddCapabilities: c.add, DropCapabilities: c.drop}})
		if err != nil || got != c.want&own {
			t.Errorf("%s: %x, %v; want %x", c.what, got, err, c.want&own)
		}
	}
	for _, bad := range []*cri.Capability{{AddCapabilities: list("FLY")}, {DropCapabilities: list("CAP_FLY")}} {
		if _, err := Capabilities(&cri.LinuxContainerSecurityContext{Capabilities: bad}); err == nil || !strings.Contains(err.Error(), "FLY") {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if names := CapabilityNames(chown | netRaw); strings.Join(names, " ") != "CAP_CHOWN CAP_NET_RAW" {
		t.Errorf("names are %v", names)
	}
}

func TestSysctlsBelongToNamespaces(t *testing.T) {
	const net, ipc, uts, none = unix.CLONE_NEWNET, unix.CLONE_NEWIPC, unix.CLONE_NEWUTS, 0
	for name, want := range map[string]uint64{
		"net.ipv4.ip_forward": net, "net/ipv4/conf/eth0.1/forwarding": net, "kernel.shmmax": ipc, "kernel.sem": ipc, "kernel/msgmax": ipc, "fs.mqueue.msg_max": ipc,
		"kernel.domainname": uts, "kernel.hostname": uts,
		"kernel.core_pattern": none, "vm.swappiness": none, "fs.file-max": none, "net": none, "": none,
		"net/../kernel/core_pattern": none, "net/./../kernel/core_pattern": none, "/kernel/sem": none, "net//x": none, "net..x": none, "net.": none,
	} {
		var asked uint64
		err := CheckSysctl(name, func(kind uint64) bool { asked = kind; return true })
		if asked != want || (err == nil) != (want != none) {
			t.Errorf("%q is of %x, %v; want %x", name, asked, err, want)
		}
		if err := CheckSysctl(name, func(uint64) bool { return false }); err == nil {
			t.Errorf("%q can be set for the machine", name)
		}
	}
}

func TestALocalAppArmorProfileHasAName(t *testing.T) {
	_, err := AppArmor(&cri.LinuxContainerSecurityContext{Apparmor: &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost}})
	if err == nil || !strings.Contains(err.Error(), "not named") {
		t.Errorf("error is %v", err)
	}
}

func TestLabelsReachAllFilesBelow(t *testing.T) {
	dir := t.TempDir()
	below := filepath.Join(dir, "a", "b")
	check(t, os.MkdirAll(filepath.Dir(below), 0o755))
	check(t, os.WriteFile(below, nil, 0o644))
	check(t, labelAll(dir, "trusted.dhow", "label"))
	value := make([]byte, 10)
	n, err := unix.Lgetxattr(below, "trusted.dhow", value)
	if err != nil || string(value[:n]) != "label" {
		t.Errorf("%q, %v", value[:max(n, 0)], err)
	}
	if err := Relabel("/usr", nil); err != nil && !strings.Contains(err.Error(), "not allowed") {
		t.Errorf("without SELinux: %v", err)
	}
}
