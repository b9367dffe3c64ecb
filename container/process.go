package container

import (
	"fmt"
	"slices"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/confine"
	"dhow/container/shim"
	"dhow/internal/rootfs"
)

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// process is the container's own command: the configuration's, or the image's where it is silent.
func (c *container) process(snapshot *rootfs.Snapshot) (*shim.Process, error) {
	image := snapshot.Config
	args := append(slices.Clone(c.config.Command), c.config.Args...)
	if len(c.config.Command) == 0 {
		args = append(slices.Clone(image.Entrypoint), c.config.Args...)
		if len(c.config.Args) == 0 {
			args = append(slices.Clone(image.Entrypoint), image.Cmd...)
		}
	}
	if len(args) == 0 {
		return nil, fmt.Errorf("no command: neither the container nor its image %s names one", c.config.GetImage().GetImage())
	}
	p := &shim.Process{Args: args, Cwd: c.config.WorkingDir, User: image.User, TTY: c.config.Tty}
	if p.Cwd == "" {
		p.Cwd = image.WorkingDir
	}
	p.Env = environment(image.Env, c.config.Envs, c.sandbox.hostname(), c.config.Tty)
	return p, c.rights(p)
}

// environment is the image's, then the configuration's, with PATH, HOSTNAME and for terminals TERM.
func environment(image []string, own []*cri.KeyValue, hostname string, tty bool) []string {
	env := []string{defaultPath, "HOSTNAME=" + hostname}
	if tty {
		env = append(env, "TERM=xterm")
	}
	set := func(key, entry string) {
		for i, old := range env {
			if strings.HasPrefix(old, key+"=") {
				env[i] = entry
				return
			}
		}
		env = append(env, entry)
	}
	for _, entry := range image {
		key, _, _ := strings.Cut(entry, "=")
		set(key, entry)
	}
	for _, kv := range own {
		set(kv.Key, kv.Key+"="+string(kv.Value))
	}
	return env
}

// rights fills in who the process is and what it may do.
func (c *container) rights(p *shim.Process) error {
	linux := c.config.GetLinux()
	s := linux.GetSecurityContext()
	if s == nil {
		s = &cri.LinuxContainerSecurityContext{}
	}
	if s.RunAsUsername != "" {
		p.User = s.RunAsUsername
	}
	if s.RunAsUser != nil {
		p.UID = &s.RunAsUser.Value
	}
	if s.RunAsGroup != nil {
		p.GID = &s.RunAsGroup.Value
	}
	for _, g := range s.SupplementalGroups {
		p.Groups = append(p.Groups, uint32(g))
	}
	p.NoNewPrivileges = s.NoNewPrivs
	var err error
	if p.Capabilities, err = confine.Capabilities(s); err != nil {
		return err
	}
	if p.Seccomp, err = confine.Filter(s, p.Capabilities); err != nil {
		return err
	}
	p.StrictGroups = s.SupplementalGroupsPolicy == cri.SupplementalGroupsPolicy_Strict
	if p.AppArmor, err = confine.AppArmor(s); err != nil {
		return err
	}
	if p.SELinux, err = confine.SELinux(s); err != nil {
		return err
	}
	score := int(linux.GetResources().GetOomScoreAdj()) // not the starter's
	p.OOMScoreAdj = &score
	return nil
}
