package bundle

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// minimal is what Translate wants at least.
func minimal() *specs.Spec {
	return &specs.Spec{
		Version: "1.3.0", Root: &specs.Root{Path: "."}, Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: "mount"}, {Type: "network"}}},
		Process: &specs.Process{Args: []string{"true"}, Cwd: "/"},
	}
}

func TestErrorsNameTheField(t *testing.T) {
	negative := -1
	for want, change := range map[string]func(*specs.Spec){
		"ociVersion":                func(s *specs.Spec) { s.Version = "2.0.0" },
		"root.path":                 func(s *specs.Spec) { s.Root.Path = "/nowhere" },
		"process.args":              func(s *specs.Spec) { s.Process.Args = nil },
		"process.cwd":               func(s *specs.Spec) { s.Process.Cwd = "x" },
		"process.env":               func(s *specs.Spec) { s.Process.Env = []string{"=x"} },
		"process.rlimits[0]":        func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_FUN"}} },
		"process.ioPriority: class": func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{Class: "BEST"} },
		"process.ioPriority: priority 8": func(s *specs.Spec) {
			s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_RT, Priority: 8}
		},
		"process.scheduler: policy":   func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: "SCHED_FAIR"} },
		"process.scheduler: nice":     func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Nice: 20} },
		"process.scheduler: priority": func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Priority: 1} },
		"linux.memoryPolicy: mode":    func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: "MPOL_MINE"} },
		"linux.memoryPolicy: nodes": func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "a-b"}
		},
		"linux.personality": func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: "BSD"} },
		"linux.namespaces[2].type": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "space"})
		},
		"linux.namespaces[2]: malformed": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "mount"})
		},
		"linux.timeOffsets":       func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {}} },
		"linux.rootfsPropagation": func(s *specs.Spec) { s.Linux.RootfsPropagation = "everywhere" },
		"linux.seccomp.flags": func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"F"}}
		},
		"linux.seccomp: ":       func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_DANCE"} },
		"linux.intelRdt":        func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{} },
		"linux.devices[0].type": func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "x"}} },
		"linux.devices[0].path": func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "x", Type: "c"}} },
		"linux.netDevices": func(s *specs.Spec) {
			s.Linux.Namespaces = nil
			s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {}}
		},
		"hooks.poststop[0].path":     func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "x"}}} },
		"hooks.prestart[0].timeout":  func(s *specs.Spec) { s.Hooks = &specs.Hooks{Prestart: []specs.Hook{{Path: "/x", Timeout: &negative}}} },
		"mounts[0] (x): destination": func(s *specs.Spec) { s.Mounts = []specs.Mount{{Destination: "x", Type: "tmpfs"}} },
		"mounts[0] (/x): unknown option": func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Source: "/", Options: []string{"bind", "roo"}}}
		},
		"mounts[0] (/x): tmpcopyup": func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Source: "/", Options: []string{"bind", "tmpcopyup"}}}
		},
		"mounts[0] (/x): idmap": func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Source: "/", Options: []string{"bind", "idmap"}}}
		},
		"mounts[0] (/x): remount": func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Type: "tmpfs", Options: []string{"remount"}}}
		},
		"hostname":                         func(s *specs.Spec) { s.Hostname = "x" },
		"domainname":                       func(s *specs.Spec) { s.Domainname = "x" },
		"linux.uidMappings":                func(s *specs.Spec) { s.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 1}} },
		`sysctl "kernel.msgmax"`:           func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.msgmax": "1"} },
		"for another platform: of windows": func(s *specs.Spec) { s.Windows = &specs.Windows{} },
	} {
		s := minimal()
		change(s)
		if _, err := Translate("c", t.TempDir(), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestMountOptionsInTheirOrder(t *testing.T) {
	s := minimal()
	s.Mounts = []specs.Mount{
		{Destination: "/a", Source: "/", Options: []string{"rbind", "ro", "rw", "nosuid", "rslave", "mode=755"}},
		{Destination: "/b", Source: "b", Type: "bind", Options: []string{"rro", "relatime"}},
		{Destination: "/c", Type: "tmpfs", Options: []string{"size=1k", "ro", "tmpcopyup", "mode=700"}},
	}
	p, err := Translate("c", t.TempDir(), s)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := p.Binds[0], p.Binds[1], p.Container.Mounts[2]
	if !a.Recursive || a.Attr.Attr_set != unix.MOUNT_ATTR_NOSUID || a.Attr.Attr_clr != unix.MOUNT_ATTR_RDONLY || a.Propagation != unix.MS_SLAVE|unix.MS_REC {
		t.Errorf("a is %+v", a)
	}
	if b.Recursive || b.All.Attr_set != unix.MOUNT_ATTR_RDONLY || b.Attr.Attr_clr != unix.MOUNT_ATTR__ATIME || !strings.HasSuffix(b.Source, "/b") {
		t.Errorf("b is %+v", b)
	}
	if c.Data != "size=1k,mode=700" || !c.CopyUp || c.Flags != unix.MS_RDONLY || c.Source != "tmpfs" {
		t.Errorf("c is %+v", c)
	}
}

func TestListsOfNumbers(t *testing.T) {
	for text, want := range map[string][]int{"": nil, "0": {0}, "0-3,7": {0, 1, 2, 3, 7}, " 2 , 4-4": {2, 4}} {
		if got, err := List(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"3-1", "x", "-1", "1-", "99999"} {
		if got, err := List(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// fields are what an error may name.
var fields = []string{
	"ociVersion", "root.path", "process", "linux", "mounts[", "hooks.", "hostname", "domainname", "sysctl", "for another platform", "Go struct field", "Go value of type specs.Spec",
}

// FuzzConfig: no config.json makes the translation panic, and what is wrong with a well-formed one is told by a field.
func FuzzConfig(f *testing.F) {
	for _, change := range []func(*specs.Spec){
		func(*specs.Spec) {},
		func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/x", Type: "tmpfs", Options: []string{"ro", "size=1k"}}}
		},
		func(s *specs.Spec) { s.Linux.Resources = &specs.LinuxResources{Unified: map[string]string{"a": "b"}} },
		func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0-3,7"}
		},
		func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mount"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Op: specs.OpEqualTo}}}}}
		},
	} {
		s := minimal()
		change(s)
		data, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	dir, err := os.MkdirTemp("", "fuzz")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	f.Fuzz(func(t *testing.T, data []byte) {
		spec, _, err := decode(data)
		if err != nil {
			return
		}
		_, err = Translate("c", dir, spec)
		if err == nil && spec.Linux.Resources != nil {
			if _, err = Resources(spec.Linux.Resources); err == nil {
				_, err = DeviceRules(spec.Linux.Resources.Devices)
			}
		}
		if err != nil && !slices.ContainsFunc(fields, func(name string) bool { return strings.Contains(err.Error(), name) }) {
			t.Errorf("no field is named: %v", err)
		}
	})
}
