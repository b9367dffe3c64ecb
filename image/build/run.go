package build

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"dhow/image/build/emulate"
	"dhow/image/build/show"
	"dhow/internal/rootfs"
)

// running is a RUN, ready.
type running struct {
	args    []string
	env     []string // without what the cache may not know of
	network string
	secure  string
	mounts  []*mounted
	script  []byte // of a here-document with an interpreter of its own
}

// scriptDir is where such a script lies.
const scriptDir = "/dev/pipes"

func (w *work) doRun(ctx context.Context, s *stage, now *state, c *instructions.RunCommand, steps *numbering) error {
	r, err := w.prepareRun(now, c)
	if err != nil {
		return err
	}
	var inputs []string
	for _, m := range instructions.GetMounts(c) {
		one, err := w.prepareMount(ctx, s, now, m)
		if err != nil {
			return err
		}
		r.mounts = append(r.mounts, one)
		inputs = append(inputs, one.key)
	}
	config := now.spec.Config
	by := "RUN " + strings.Join(r.args, " ")
	if len(now.args.order) > 0 {
		by = fmt.Sprintf("RUN |%d %s %s", len(now.args.order), strings.Join(now.args.list(), " "), strings.Join(r.args, " "))
	}
	return w.layer(ctx, s, now, layerStep{
		title: steps.title(text(c)), by: by,
		key: keyOf("run", now.layers, r.args, r.env, config.User, config.WorkingDir, r.network, r.secure, inputs, string(r.script), s.platform, w.epochWord()),
		make: func(ctx context.Context, snap *rootfs.Snapshot, shown *show.Step) error {
			if arch := now.spec.Architecture; !emulate.Runs(arch) {
				return fmt.Errorf("RUN in an image for %s needs an emulator on this %s machine: register qemu with binfmt_misc, or give the stage FROM --platform=$BUILDPLATFORM",
					arch, runtime.GOARCH)
			}
			return w.runCommand(ctx, now, r, snap, shown)
		},
	})
}

func (w *work) prepareRun(now *state, c *instructions.RunCommand) (*running, error) {
	r := &running{network: instructions.GetNetwork(c), secure: instructions.GetSecurity(c)}
	if devices := instructions.GetDevices(c); len(devices) > 0 {
		return nil, errors.New("RUN --device is not supported: builds get no devices")
	}
	if r.network == NetworkHost && !slices.Contains(w.Allow, "network.host") && w.Network != NetworkHost {
		return nil, errors.New("RUN --network=host needs the entitlement: add --allow network.host")
	}
	if r.network == NetworkDefault && w.Network != "" {
		r.network = w.Network
	}
	if r.secure == instructions.SecurityInsecure && !slices.Contains(w.Allow, "security.insecure") {
		return nil, errors.New("RUN --security=insecure needs the entitlement: add --allow security.insecure")
	}
	if err := r.words(now, c); err != nil {
		return nil, err
	}
	r.env = slices.Clone(now.spec.Config.Env)
	for _, name := range now.args.order {
		if !hasEnv(r.env, name) && !slices.Contains(proxies, name) {
			r.env = append(r.env, name+"="+now.args.values[name])
		}
	}
	return r, nil
}

// words are the command's, here-documents included.
func (r *running) words(now *state, c *instructions.RunCommand) error {
	r.args = slices.Clone(c.CmdLine)
	if len(c.Files) > 0 {
		if len(r.args) != 1 || !c.PrependShell {
			return errors.New("a here-document needs the shell form of RUN")
		}
		if parser.MustParseHeredoc(r.args[0]) == nil { // the shell reads them
			full := r.args[0]
			for _, file := range c.Files {
				full += "\n" + file.Data + file.Name
			}
			r.args = []string{full}
		} else {
			data := c.Files[0].Data
			if c.Files[0].Chomp {
				data = parser.ChompHeredocContent(data)
			}
			if strings.HasPrefix(data, "#!") {
				r.script, r.args = []byte(data), []string{path.Join(scriptDir, c.Files[0].Name)}
				return nil
			}
			r.args = []string{data}
		}
	}
	if c.PrependShell {
		r.args = append(now.shell(), strings.Join(r.args, " "))
	}
	if len(r.args) == 0 {
		return errors.New("RUN needs a command")
	}
	return nil
}

// runCommand runs the command over a snapshot.
func (w *work) runCommand(ctx context.Context, now *state, r *running, snap *rootfs.Snapshot, shown *show.Step) error {
	runner, err := w.session.openRunner()
	if err != nil {
		return err
	}
	dir := now.spec.Config.WorkingDir
	if dir == "" {
		dir = "/"
	}
	c := Command{
		Args: r.args, Env: r.env, User: now.spec.Config.User, Dir: dir,
		Network: r.network, Insecure: r.secure == instructions.SecurityInsecure, Limits: w.Limits, Stdout: shown, Stderr: shown,
	}
	for _, name := range proxies {
		if value, ok := w.Args[name]; ok && value != nil && !hasEnv(c.Env, name) {
			c.Env = append(c.Env, name+"="+*value)
		}
	}
	if c.Hosts, err = w.hostsFile(runner, r.network); err != nil {
		return err
	}
	release, err := w.attachMounts(ctx, r, &c)
	defer release()
	if err != nil {
		return err
	}
	if c.Root, err = w.withMountPoints(snap, &c); err != nil {
		return err
	}
	code, err := runner.Run(ctx, c)
	if err != nil {
		return err
	}
	if code != 0 {
		return &CommandError{Args: r.args, Code: code}
	}
	return nil
}

// hostsFile writes /etc/hosts for commands.
func (w *work) hostsFile(runner Runner, network string) (string, error) {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, line := range w.Hosts {
		if name, ok := strings.CutPrefix(line, HostGateway+"\t"); ok {
			gateway, err := runner.Gateway(network)
			if err != nil {
				return "", err
			}
			line = gateway.String() + "\t" + name
		}
		b.WriteString(line + "\n")
	}
	file, err := w.session.folder("hosts")
	if err != nil {
		return "", err
	}
	name := filepath.Join(file, "hosts")
	return name, os.WriteFile(name, []byte(b.String()), 0o644)
}

// withMountPoints puts a layer below the root that has what mounts are put on, so that none of it ends up in the image.
func (w *work) withMountPoints(snap *rootfs.Snapshot, c *Command) (*rootfs.Snapshot, error) {
	dir, err := w.session.folder("mountpoints")
	if err != nil {
		return nil, err
	}
	places := map[string]bool{"dev": true, "proc": true, "sys": true, "etc/resolv.conf": false, "etc/hostname": false, "etc/hosts": false}
	for _, m := range c.Mounts {
		info, err := os.Stat(m.Source)
		if err != nil {
			return nil, err
		}
		places[strings.Trim(path.Clean("/"+m.Target), "/")] = info.IsDir()
	}
	for _, t := range c.Tmpfs {
		places[strings.Trim(path.Clean("/"+t.Target), "/")] = true
	}
	if c.Dir != "/" {
		places[strings.Trim(c.Dir, "/")] = true
	}
	for _, name := range slices.Sorted(maps.Keys(places)) {
		if err := makeMountPoint(filepath.Join(dir, name), places[name]); err != nil {
			return nil, err
		}
	}
	with := *snap
	with.Lower = append(slices.Clone(snap.Lower), dir)
	return &with, nil
}

func makeMountPoint(name string, dir bool) error {
	if dir {
		return os.MkdirAll(name, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}
