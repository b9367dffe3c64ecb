package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"golang.org/x/sys/unix"

	"dhow/image/build/agent"
	"dhow/image/build/rooted"
	"dhow/internal/filelock"
)

// mounted is a RUN --mount.
type mounted struct {
	*instructions.Mount
	key  string // what of it the cache must know
	from *state // of bind and cache mounts with from=; nil for the context
}

func (w *work) prepareMount(ctx context.Context, s *stage, now *state, m *instructions.Mount) (*mounted, error) {
	one := &mounted{Mount: m}
	if m.Type == instructions.MountTypeSSH {
		return one, w.prepareSSH(now, one)
	}
	if m.Type == instructions.MountTypeSecret {
		return one, w.prepareSecret(now, one)
	}
	if m.Target == "" {
		return nil, fmt.Errorf("RUN --mount=type=%s needs a target", m.Type)
	}
	one.Target = now.at(m.Target)
	if one.Target == "/" {
		return nil, fmt.Errorf("RUN --mount=type=%s: invalid mount target %q", m.Type, m.Target)
	}
	if m.From != "" {
		from, err := w.other(ctx, m.From, s)
		if err != nil {
			return nil, err
		}
		one.from = from
	}
	one.key = fmt.Sprintf("%s %s %s %s %v", m.Type, one.Target, m.Source, m.CacheID, m.ReadOnly)
	switch {
	case m.Type == instructions.MountTypeBind && one.from != nil:
		one.key += " " + strings.Join(one.from.layers, ",")
	case m.Type == instructions.MountTypeBind:
		digest, err := w.contextDigest(m.Source)
		if err != nil {
			return nil, err
		}
		one.key += " " + digest
	}
	return one, nil
}

// prepareSecret finds out what a secret is called, and whether it is there. The cache knows its name only.
func (w *work) prepareSecret(now *state, m *mounted) error {
	id := m.CacheID
	if id == "" {
		id = m.Source
	}
	if id == "" {
		id = path.Base(m.Target)
	}
	m.CacheID = id
	if m.Target == "" && m.Env == nil {
		m.Target = path.Join("/run/secrets", path.Base(id))
	}
	if m.Target != "" {
		m.Target = now.at(m.Target)
	}
	if m.Env != nil && *m.Env == "" {
		m.Env = &id
	}
	m.key = fmt.Sprintf("secret %s %s", id, m.Target)
	if _, there := w.Secrets[id]; !there && m.Required {
		return fmt.Errorf("secret %s: not found: give it by --secret id=%s,src=FILE", id, id)
	}
	return nil
}

// prepareSSH finds out which agent is meant, and whether there is one. The cache knows nothing of it.
func (w *work) prepareSSH(now *state, m *mounted) error {
	if m.CacheID == "" {
		m.CacheID = "default"
	}
	if m.Target == "" {
		m.Target = "/run/buildkit/ssh_agent.0"
	}
	m.Target = now.at(m.Target)
	m.key = fmt.Sprintf("ssh %s %s", m.CacheID, m.Target)
	if _, there := w.SSH[m.CacheID]; !there && m.Required {
		return fmt.Errorf("ssh %s: no agent: give it by --ssh %s, with SSH_AUTH_SOCK set, or --ssh %s=SOCKET", m.CacheID, m.CacheID, m.CacheID)
	}
	return nil
}

// attachMounts makes what a command's mounts show. release gives back what was made, also after an error.
func (w *work) attachMounts(ctx context.Context, r *running, c *Command) (release func(), err error) {
	var undo []func()
	release = func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}
	if r.script != nil {
		dir, err := w.session.folder("script")
		if err != nil {
			return release, err
		}
		if err := os.WriteFile(filepath.Join(dir, path.Base(r.args[0])), r.script, 0o755); err != nil {
			return release, err
		}
		c.Mounts = append(c.Mounts, Mount{Source: dir, Target: scriptDir, ReadOnly: true})
	}
	for _, m := range r.mounts {
		var back func()
		switch m.Type {
		case instructions.MountTypeTmpfs:
			c.Tmpfs = append(c.Tmpfs, Tmpfs{Target: m.Target, Size: m.SizeLimit})
		case instructions.MountTypeSecret:
			back, err = w.attachSecret(m, c)
		case instructions.MountTypeSSH:
			back, err = w.attachSSH(m, c)
		case instructions.MountTypeCache:
			back, err = w.attachCache(ctx, m, c)
		case instructions.MountTypeBind:
			back, err = w.attachBind(ctx, m, c)
		}
		if back != nil {
			undo = append(undo, back)
		}
		if err != nil {
			return release, fmt.Errorf("mount on %s: %w", m.Target, err)
		}
	}
	return release, nil
}

func or(n *uint64, other int) int {
	if n == nil {
		return other
	}
	return int(*n)
}

func (w *work) attachSecret(m *mounted, c *Command) (func(), error) {
	data, there := w.Secrets[m.CacheID]
	if !there {
		return nil, nil // it is not required
	}
	if m.Env != nil {
		c.Env = setEnv(c.Env, *m.Env, string(data))
	}
	if m.Target == "" {
		return nil, nil
	}
	file := w.session.private("secret")
	back := func() { _ = os.Remove(file) } // the session's end removes it as well
	return back, errors.Join(
		os.WriteFile(file, data, 0o400), os.Chown(file, or(m.UID, 0), or(m.GID, 0)), os.Chmod(file, os.FileMode(or(m.Mode, 0o400))),
		addMount(c, file, m.Target, true))
}

// attachSSH lends the user's agent.
func (w *work) attachSSH(m *mounted, c *Command) (func(), error) {
	socket, there := w.SSH[m.CacheID]
	if !there {
		return nil, nil // it is not required
	}
	dir := w.session.private("ssh")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	back := func() { _ = os.RemoveAll(dir) } // the session's end removes it as well
	loan, err := agent.Lend(socket, dir, "agent", or(m.UID, 0), or(m.GID, 0), os.FileMode(or(m.Mode, 0o600)))
	if err != nil {
		return back, err
	}
	if !hasEnv(c.Env, "SSH_AUTH_SOCK") {
		c.Env = setEnv(c.Env, "SSH_AUTH_SOCK", m.Target)
	}
	return func() { _ = loan.Close(); back() }, addMount(c, filepath.Join(dir, "agent"), m.Target, false)
}

func addMount(c *Command, source, target string, readOnly bool) error {
	c.Mounts = append(c.Mounts, Mount{source, target, readOnly})
	return nil
}

// attachCache shows a folder that stays for later builds. Those that share it, several commands use at once; of one that
// is locked, one after another; of a private one, each takes one that nobody uses.
func (w *work) attachCache(ctx context.Context, m *mounted, c *Command) (func(), error) {
	id := m.CacheID
	if id == "" {
		id = path.Clean(m.Target)
	}
	base := filepath.Join(w.config.Dir, mountsDir, keyOf("cache mount", nil, id)[:32])
	dir, unlock, err := takeCache(ctx, base, m.CacheSharing)
	if err != nil {
		return nil, err
	}
	if err := w.fillCache(ctx, m, dir); err != nil {
		return unlock, err
	}
	source := dir
	if m.from == nil && m.Source != "" {
		return unlock, errors.New("source= of a cache needs from=")
	}
	return unlock, addMount(c, source, m.Target, m.ReadOnly)
}

// fillCache makes a new cache, of what from= holds if it is given.
func (w *work) fillCache(ctx context.Context, m *mounted, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	tmp, err := w.session.folder("cache") // the session's end removes what is left
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if m.from != nil {
		if err := w.copyOut(ctx, m.from, m.Source, tmp); err != nil {
			return err
		}
	}
	if err := errors.Join(os.Chown(tmp, or(m.UID, 0), or(m.GID, 0)), os.Chmod(tmp, os.FileMode(or(m.Mode, 0o755)))); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// privateMost bounds how many copies of a private cache there are.
const privateMost = 64

// takeCache locks the folder of a cache.
func takeCache(ctx context.Context, base string, sharing instructions.ShareMode) (dir string, unlock func(), err error) {
	switch sharing {
	case instructions.MountSharingLocked:
		unlock, err = filelock.Wait(ctx, base+".use", func() {})
		return base, unlock, err
	case instructions.MountSharingPrivate:
		for n := range privateMost {
			dir = fmt.Sprintf("%s-%d", base, n)
			unlock, err = filelock.Lock(dir+".use", filelock.Try)
			if !errors.Is(err, filelock.ErrHeld) {
				return dir, unlock, err
			}
		}
		return "", nil, fmt.Errorf("all %d copies of the private cache are in use", privateMost)
	default:
		unlock, err = filelock.Lock(base+".use", filelock.Shared)
		return base, unlock, err
	}
}

// attachBind shows a part of the context, or of a stage or image. What is written there is thrown away.
func (w *work) attachBind(ctx context.Context, m *mounted, c *Command) (func(), error) {
	if m.from == nil {
		dir, err := w.session.folder("bind")
		if err != nil {
			return nil, err
		}
		copied, err := w.copyContext(m.Source, dir)
		back := func() { _ = os.RemoveAll(dir) } // the session's end removes it as well
		if err != nil {
			return back, err
		}
		return back, addMount(c, copied, m.Target, m.ReadOnly)
	}
	key, snap, err := w.session.snapshot(ctx, m.from.layers, m.from.spec.Config.ImageConfig)
	if err != nil {
		return nil, err
	}
	back := func() { w.session.discard(key) }
	tree, err := rooted.Overlay(snap.Lower, snap.Upper, snap.Work)
	if err != nil {
		return back, err
	}
	defer tree.Close()
	dir := w.session.private("mount")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return back, err
	}
	back = func() {
		_ = rooted.Detach(dir) // the session's end tries again
		_ = os.Remove(dir)
		w.session.discard(key)
	}
	if err := tree.Attach(dir); err != nil {
		return back, err
	}
	inside, err := tree.Resolve(m.Source)
	if err != nil {
		return back, err
	}
	return back, addMount(c, filepath.Join(dir, inside), m.Target, m.ReadOnly)
}
