package cli

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/engine"
	"dhow/engine/flagtext"
)

func (f *containerFlags) network(spec *engine.Spec, p *problems) {
	for _, text := range f.publish {
		ports, err := flagtext.Publish(text)
		p.add(err)
		spec.Ports = append(spec.Ports, ports...)
	}
	for _, text := range f.expose {
		ports, err := flagtext.Expose(text)
		p.add(err)
		spec.Exposed = append(spec.Exposed, ports...)
	}
	for _, text := range f.hosts {
		host, err := flagtext.Host(text)
		p.add(err)
		spec.ExtraHosts = append(spec.ExtraHosts, host)
	}
	for _, server := range f.dns {
		if _, err := netip.ParseAddr(server); err != nil {
			p.add(fmt.Errorf("%s is not an ip address", server))
		}
	}
	f.endpoints(spec, p)
}

// endpoints are the networks; the address, the MAC and the aliases are for the first.
func (f *containerFlags) endpoints(spec *engine.Spec, p *problems) {
	networks := f.networks
	if len(networks) == 0 {
		networks = []string{"bridge"}
	}
	spec.NetworkMode = networks[0]
	if spec.NetworkMode == "default" {
		spec.NetworkMode = "bridge"
	}
	special := spec.NetworkMode == "none" || spec.NetworkMode == "host" || strings.HasPrefix(spec.NetworkMode, "container:")
	if special {
		if len(networks) > 1 || len(f.aliases) > 0 || f.ip != "" || f.mac != "" {
			p.add(fmt.Errorf("conflicting options: network %s goes with no other network, address or alias", spec.NetworkMode))
		}
		if strings.HasPrefix(spec.NetworkMode, "container:") {
			f.joined(p)
		}
		return
	}
	for i, name := range networks {
		e, err := endpoint(name)
		p.add(err)
		if i == 0 {
			spec.NetworkMode = e.Network
			e.Aliases = append(e.Aliases, f.aliases...)
			p.address(&e, f.ip, f.mac)
		}
		spec.Networks = append(spec.Networks, e)
	}
}

// joined refuses what belongs to the container whose network is shared.
func (f *containerFlags) joined(p *problems) {
	for flag, set := range map[string]bool{
		"hostname": f.hostname != "", "publish": len(f.publish) > 0, "publish-all": f.publishAll, "expose": len(f.expose) > 0,
		"dns": len(f.dns) > 0, "add-host": len(f.hosts) > 0,
	} {
		if set {
			p.add(fmt.Errorf("conflicting options: --%s and the network mode container:NAME", flag))
		}
	}
}

func (p *problems) address(e *engine.Endpoint, ip, mac string) {
	if ip != "" {
		a, err := netip.ParseAddr(ip)
		if err != nil || !a.Is4() {
			p.add(fmt.Errorf("invalid IPv4 address: %s", ip))
		}
		e.IP = a
	}
	if mac != "" {
		if _, err := net.ParseMAC(mac); err != nil {
			p.add(fmt.Errorf("%s is not a valid mac address", mac))
		}
		e.MAC = mac
	}
}

// endpoint reads --network: NAME, or name=NAME,alias=…,ip=….
func endpoint(text string) (engine.Endpoint, error) {
	if !strings.Contains(text, "=") {
		return engine.Endpoint{Network: text}, nil
	}
	var e engine.Endpoint
	p := &problems{}
	for field := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "name":
			e.Network = value
		case "alias":
			e.Aliases = append(e.Aliases, value)
		case "ip":
			p.address(&e, value, "")
		case "mac-address":
			p.address(&e, "", value)
		default:
			p.add(fmt.Errorf("invalid field %s in --network %q (there are: name, alias, ip, mac-address)", key, text))
		}
	}
	return e, p.err()
}

func (f *containerFlags) resources(spec *engine.Spec, p *problems) {
	spec.Resources = f.limits(p)
	x := &spec.Extra
	x.MemoryReservation = p.bytes("memory-reservation", f.memoryReservation)
	switch {
	case f.memorySwap == "-1":
		x.MemorySwap = -1
	case f.memorySwap == "" && spec.Resources.GetMemoryLimitInBytes() > 0:
		x.MemorySwap = 2 * spec.Resources.MemoryLimitInBytes // docker's
	case f.memorySwap != "":
		x.MemorySwap = p.bytes("memory-swap", f.memorySwap)
		limit := spec.Resources.MemoryLimitInBytes
		if limit == 0 {
			p.add(errors.New("You should always set the Memory limit when using Memoryswap limit, see usage"))
		} else if x.MemorySwap < limit {
			p.add(errors.New("Minimum memoryswap limit should be larger than memory limit, see usage"))
		}
	}
	if f.changed("memory-swappiness") {
		n := uint64(f.swappiness)
		if f.swappiness < 0 || f.swappiness > 100 {
			p.add(fmt.Errorf("invalid value: %d, valid memory swappiness range is 0-100", f.swappiness))
		}
		x.Swappiness = &n
	}
	if f.pidsLimit != 0 {
		x.PidsLimit = &f.pidsLimit
	}
	if f.changed("oom-score-adj") {
		if f.oomScoreAdj < -1000 || f.oomScoreAdj > 1000 {
			p.add(fmt.Errorf("invalid value %d, range for oom score adj is [-1000, 1000]", f.oomScoreAdj))
		}
		x.OOMScoreAdj = &f.oomScoreAdj
	}
	x.OOMKillDisable = f.oomKillDisable
	for _, text := range f.ulimits {
		r, err := flagtext.Ulimit(text)
		p.add(err)
		x.Rlimits = append(x.Rlimits, r)
	}
	f.blockIO(x, p)
}

func (f *containerFlags) blockIO(x *container.Extra, p *problems) {
	if f.blkioWeight != 0 && (f.blkioWeight < 10 || f.blkioWeight > 1000) {
		p.add(errors.New("Range of blkio weight is from 10 to 1000"))
	}
	x.BlockIO.Weight = f.blkioWeight
	for _, text := range f.weightDevices {
		w, err := flagtext.WeightDevice(text)
		p.add(err)
		x.BlockIO.WeightDevices = append(x.BlockIO.WeightDevices, w)
	}
	rates := func(texts []string, bytes bool) (all []container.DeviceLimit) {
		for _, text := range texts {
			l, err := flagtext.DeviceRate(text, bytes)
			p.add(err)
			all = append(all, l)
		}
		return all
	}
	x.BlockIO.ReadBPS, x.BlockIO.WriteBPS = rates(f.readBPS, true), rates(f.writeBPS, true)
	x.BlockIO.ReadIOPS, x.BlockIO.WriteIOPS = rates(f.readIOPS, false), rates(f.writeIOPS, false)
}

func (f *containerFlags) rights(spec *engine.Spec, p *problems) {
	for _, text := range f.devices {
		d, err := flagtext.Device(text)
		p.add(err)
		spec.Devices = append(spec.Devices, d)
	}
	spec.Extra.DeviceRules = f.deviceRules
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
