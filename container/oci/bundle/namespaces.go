package bundle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var kinds = map[specs.LinuxNamespaceType]int{
	specs.PIDNamespace: unix.CLONE_NEWPID, specs.NetworkNamespace: unix.CLONE_NEWNET, specs.MountNamespace: unix.CLONE_NEWNS,
	specs.IPCNamespace: unix.CLONE_NEWIPC, specs.UTSNamespace: unix.CLONE_NEWUTS, specs.UserNamespace: unix.CLONE_NEWUSER,
	specs.CgroupNamespace: unix.CLONE_NEWCGROUP, specs.TimeNamespace: unix.CLONE_NEWTIME,
}

func (p *Plan) namespaces(spec *specs.Spec) error {
	seen := map[specs.LinuxNamespaceType]bool{}
	for i, n := range spec.Linux.Namespaces {
		kind, known := kinds[n.Type]
		switch {
		case !known:
			return fmt.Errorf("linux.namespaces[%d].type %q is unknown", i, n.Type)
		case seen[n.Type]:
			return fmt.Errorf("linux.namespaces[%d]: malformed spec file: duplicated ns %q", i, n.Type)
		case n.Path != "" && !filepath.IsAbs(n.Path):
			return fmt.Errorf("linux.namespaces[%d].path %q is not absolute", i, n.Path)
		case n.Path != "":
			if _, err := os.Stat(n.Path); err != nil {
				return fmt.Errorf("linux.namespaces[%d].path: %w", i, err)
			}
			if kind == unix.CLONE_NEWNS {
				p.MountNS = n.Path
				break
			}
			p.Join = append(p.Join, Namespace{kind, n.Path})
		default:
			p.New |= uintptr(kind)
		}
		seen[n.Type] = true
	}
	return p.checkNamespaces(spec)
}

func (p *Plan) checkNamespaces(spec *specs.Spec) error {
	l := spec.Linux
	if p.New&unix.CLONE_NEWNS == 0 && p.MountNS == "" {
		p.MountNS = "/proc/self/ns/mnt"
	}
	p.New |= unix.CLONE_NEWNS // the root is built in one, in any case
	p.Container.NewNetwork = p.New&unix.CLONE_NEWNET != 0
	p.Container.NewCgroup = p.New&unix.CLONE_NEWCGROUP != 0
	switch {
	case spec.Hostname != "" && !p.has(unix.CLONE_NEWUTS):
		return errors.New("unable to set hostname without a private UTS namespace")
	case spec.Domainname != "" && !p.has(unix.CLONE_NEWUTS):
		return errors.New("unable to set domainname without a private UTS namespace")
	case len(l.NetDevices) > 0 && !p.has(unix.CLONE_NEWNET):
		return errors.New("linux.netDevices needs a network namespace of the container's own, or the path of one")
	case len(l.TimeOffsets) > 0 && p.New&unix.CLONE_NEWTIME == 0:
		return errors.New("linux.timeOffsets needs a new time namespace")
	case p.New&unix.CLONE_NEWUSER != 0 && (len(l.UIDMappings) == 0 || len(l.GIDMappings) == 0):
		return errors.New("linux.namespaces: user namespaces enabled, but no mappings found: set linux.uidMappings and linux.gidMappings")
	case !p.has(unix.CLONE_NEWUSER) && len(l.UIDMappings)+len(l.GIDMappings) > 0:
		return errors.New("linux.uidMappings, linux.gidMappings: user namespace mappings specified, but user namespace isn't enabled in the config")
	}
	p.UIDs, p.GIDs = mappings(l.UIDMappings), mappings(l.GIDMappings)
	return p.clocks(l.TimeOffsets)
}

// has says whether the container is in a namespace of its own choice.
func (p *Plan) has(kind int) bool {
	for _, n := range p.Join {
		if n.Kind == kind {
			return true
		}
	}
	return p.New&uintptr(kind) != 0
}

func mappings(list []specs.LinuxIDMapping) []syscall.SysProcIDMap {
	var all []syscall.SysProcIDMap
	for _, m := range list {
		all = append(all, syscall.SysProcIDMap{ContainerID: int(m.ContainerID), HostID: int(m.HostID), Size: int(m.Size)})
	}
	return all
}

func (p *Plan) clocks(offsets map[string]specs.LinuxTimeOffset) error {
	if p.New&unix.CLONE_NEWTIME == 0 {
		return nil
	}
	p.New &^= unix.CLONE_NEWTIME // it is made by its offsets
	p.Clocks = "monotonic 0 0\n"
	if len(offsets) > 0 {
		p.Clocks = ""
	}
	for clock, o := range offsets {
		if clock != "monotonic" && clock != "boottime" {
			return fmt.Errorf("linux.timeOffsets: clock %q: want monotonic or boottime", clock)
		}
		p.Clocks += fmt.Sprintf("%s %d %d\n", clock, o.Secs, o.Nanosecs)
	}
	return nil
}

// sysctls may be set only where the namespace they belong to is not the machine's.
func (p *Plan) sysctls(spec *specs.Spec) error {
	for name := range spec.Linux.Sysctl {
		dotted := strings.ReplaceAll(name, "/", ".")
		switch {
		case strings.HasPrefix(dotted, "net."):
			if !p.has(unix.CLONE_NEWNET) {
				return fmt.Errorf("sysctl %q is not allowed in the hosts network namespace", name)
			}
		case strings.HasPrefix(dotted, "fs.mqueue."), strings.HasPrefix(dotted, "kernel.msg"), strings.HasPrefix(dotted, "kernel.shm"), dotted == "kernel.sem":
			if !p.has(unix.CLONE_NEWIPC) {
				return fmt.Errorf("sysctl %q is not allowed in the hosts ipc namespace", name)
			}
		case dotted == "kernel.domainname":
			if !p.has(unix.CLONE_NEWUTS) {
				return fmt.Errorf("sysctl %q is not allowed in the hosts UTS namespace", name)
			}
		case dotted == "kernel.hostname":
			return fmt.Errorf("sysctl %q: use hostname", name)
		case strings.HasPrefix(dotted, "user.") && p.has(unix.CLONE_NEWUSER):
		default:
			return fmt.Errorf("sysctl %q is not in a separate kernel namespace", name)
		}
	}
	return nil
}
