package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/engine"
	"dhow/engine/flagtext"
)

func (f *containerFlags) registerSecurity(fs *pflag.FlagSet) {
	fs.BoolVar(&f.privileged, "privileged", false, "all capabilities and devices, no seccomp filter")
	fs.StringArrayVar(&f.capAdd, "cap-add", nil, "add a capability, or ALL")
	fs.StringArrayVar(&f.capDrop, "cap-drop", nil, "drop a capability, or ALL")
	fs.StringArrayVar(&f.security, "security-opt", nil, "no-new-privileges, seccomp=FILE|unconfined, apparmor=PROFILE, label=…, systempaths=unconfined")
	fs.StringArrayVar(&f.devices, "device", nil, "device of the host, HOST[:CONTAINER][:rwm]")
	fs.StringArrayVar(&f.deviceRules, "device-cgroup-rule", nil, "devices that may be made and used, such as 'c 42:* rmw'")
	fs.StringArrayVar(&f.gpus, "gpus", nil, "")
	fs.StringArrayVar(&f.sysctls, "sysctl", nil, "kernel parameter of its namespaces, NAME=VALUE")
	fs.StringVar(&f.userns, "userns", "", "user namespace: host, auto for one of its own, or FIRST:COUNT of this machine's ids for it")
	fs.StringVar(&f.pid, "pid", "", "PID namespace: host or container:NAME")
	fs.StringVar(&f.ipc, "ipc", "", "IPC namespace: private, host or container:NAME")
	fs.StringVar(&f.uts, "uts", "", "UTS namespace: host")
	fs.StringVar(&f.cgroupns, "cgroupns", "", "cgroup namespace: private or host")
}

func (f *containerFlags) rights(spec *engine.Spec, p *problems) {
	for _, text := range f.devices {
		d, err := flagtext.Device(text)
		p.add(err)
		spec.Devices = append(spec.Devices, d)
	}
	spec.Extra.DeviceRules = f.deviceRules
	var err error
	spec.UserNS, spec.UserRange, err = flagtext.UserNS(f.userns)
	p.add(err)
	spec.Extra.Sysctls = flagtext.Pairs(f.sysctls)
	for _, text := range f.security {
		p.add(securityOption(spec, text))
	}
}

// securityOption reads --security-opt.
func securityOption(spec *engine.Spec, text string) error {
	key, value, has := strings.Cut(text, "=")
	if !has {
		key, value, has = strings.Cut(text, ":") // as old dockers had it
	}
	switch {
	case key == "no-new-privileges" && (!has || value == "true"):
		spec.Extra.NoNewPrivileges = true
	case key == "no-new-privileges" && value == "false":
	case key == "seccomp" && (value == "unconfined" || value == ""):
		spec.Seccomp = "unconfined"
	case key == "seccomp":
		path, err := filepath.Abs(value)
		if err != nil {
			return err
		}
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("opening seccomp profile (%s) failed: %w", value, err)
		}
		spec.Seccomp = path
	case key == "apparmor" && has:
		spec.AppArmor = value
	case key == "systempaths" && value == "unconfined":
		spec.Extra.MaskedPaths, spec.Extra.ReadonlyPaths = []string{}, []string{}
	case key == "label" && has:
		return seLabel(spec, value)
	default:
		return fmt.Errorf("invalid --security-opt %q (there are: no-new-privileges, seccomp=…, apparmor=…, label=…, systempaths=unconfined)", text)
	}
	return nil
}

func seLabel(spec *engine.Spec, text string) error {
	key, value, _ := strings.Cut(text, ":")
	if spec.SELinux == nil {
		spec.SELinux = &cri.SELinuxOption{}
	}
	switch key {
	case "user":
		spec.SELinux.User = value
	case "role":
		spec.SELinux.Role = value
	case "type":
		spec.SELinux.Type = value
	case "level":
		spec.SELinux.Level = value
	case "disable":
		spec.SELinux = nil
	default:
		return fmt.Errorf("invalid --security-opt label %q (there are: user, role, type, level, disable)", text)
	}
	return nil
}
