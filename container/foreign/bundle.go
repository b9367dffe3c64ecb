package foreign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/internal/rootfs"
)

// bundle is a folder with config.json and the container's root, as runtime-spec has it (bundle.md).
type bundle struct {
	key, dir   string // the key is the container's name to the other runtime
	imageID    string
	stopSignal string // the image's
	ownPID     bool
	user       specs.User
}

func (r *Runtime) dirOf(key string) string { return filepath.Join(r.config.StateDir, key) }

// makeBundle leaves what it has made on error; discard removes it.
func (r *Runtime) makeBundle(ctx context.Context, config *cri.ContainerConfig) (bundle, error) {
	key := newKey()
	b := bundle{key: key, dir: r.dirOf(key)}
	if len(config.Devices)+len(config.CDIDevices) > 0 {
		return b, errors.New("devices are given to containers of handler dhow only")
	}
	root := filepath.Join(b.dir, "rootfs")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return b, err
	}
	snapshot, err := r.config.Images.Snapshot(ctx, key, config.GetImage().GetImage())
	if err != nil {
		return b, err
	}
	b.imageID, b.stopSignal = snapshot.ImageID, snapshot.Config.StopSignal
	if err := mountRoot(root, snapshot); err != nil {
		return b, fmt.Errorf("mount the image: %w", err)
	}
	if config, err = r.withImages(ctx, b, config); err != nil {
		return b, err
	}
	b.ownPID = config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetPid() == cri.NamespaceMode_CONTAINER
	s, err := spec(config, snapshot.Config, root)
	if err != nil {
		return b, err
	}
	b.user = s.Process.User
	data, err := json.Marshal(s)
	if err != nil {
		return b, err
	}
	return b, os.WriteFile(filepath.Join(b.dir, "config.json"), data, 0o600)
}

// mountRoot makes the overlay by file descriptors: the paths of many layers are longer than mount(2) takes.
func mountRoot(at string, s *rootfs.Snapshot) error {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	set := func(key, value string) {
		if err == nil {
			err = unix.FsconfigSetString(fs, key, value)
		}
	}
	if len(s.Lower) == 1 {
		set("lowerdir", s.Lower[0])
	} else {
		for _, dir := range s.Lower {
			set("lowerdir+", dir) // Linux 6.8
		}
		if errors.Is(err, unix.EINVAL) {
			err = nil
			set("lowerdir", strings.Join(s.Lower, ":"))
		}
	}
	set("upperdir", s.Upper)
	set("workdir", s.Work)
	if err != nil {
		return err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return err
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	return unix.MoveMount(mount, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// processFile says of a further command what the container's own process was given: runtimes differ in what they take from
// it by themselves.
func (r *Runtime) processFile(key string, opts container.ExecOptions) (string, error) {
	data, err := os.ReadFile(filepath.Join(r.dirOf(key), "config.json"))
	if err != nil {
		return "", err
	}
	var s specs.Spec
	if err := json.Unmarshal(data, &s); err != nil {
		return "", err
	}
	p := s.Process
	p.Args, p.Terminal, p.Env = opts.Command, opts.TTY, append(p.Env, opts.Env...)
	if data, err = json.Marshal(p); err != nil {
		return "", err
	}
	path := filepath.Join(r.dirOf(key), "exec-"+newKey()+".json")
	return path, os.WriteFile(path, data, 0o600)
}

// forget has the program remove what it has made beside the processes, which have ended: its groups are in the container's.
func (r *Runtime) forget(key, program string) {
	if key == "" || program == "" {
		return
	}
	command := r.command(program, "delete", "--force", key)
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil && !strings.Contains(string(out), "not exist") {
		r.log.Debug("another runtime does not forget a container", "container", key, "err", err)
	}
}

// discard removes a bundle and what the program knows of it; an empty key is none.
func (r *Runtime) discard(key, program string) error {
	if key == "" {
		return nil
	}
	r.forget(key, program)
	if err := os.RemoveAll(filepath.Join(r.config.StateDir, "state", key)); err != nil {
		return err
	}
	if err := r.unmountAll(key); err != nil {
		return err
	}
	if err := r.config.Images.RemoveSnapshot(context.Background(), key); err != nil {
		return err
	}
	return os.RemoveAll(r.dirOf(key))
}
