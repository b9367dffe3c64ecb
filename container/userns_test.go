package container

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ownUsers gives the rig's pod a user namespace.
func (r *rig) ownUsers(pid cri.NamespaceMode) {
	r.pod.Linux.SecurityContext = &cri.LinuxSandboxSecurityContext{NamespaceOptions: &cri.NamespaceOption{
		Pid: pid, UsernsOptions: &cri.UserNamespace{Mode: cri.NamespaceMode_POD},
	}}
}

func TestAPodHasUsersOfItsOwn(t *testing.T) {
	r := newRig(t)
	r.ownUsers(cri.NamespaceMode_CONTAINER)
	volume := t.TempDir()
	check(t, os.Chmod(volume, 0o755))
	check(t, os.WriteFile(filepath.Join(volume, "theirs"), nil, 0o600))
	config := sh("id -u; cat /proc/self/uid_map; touch /made /mnt/made; stat -c '%u %g %n' /bin/sh /made /mnt/theirs /mnt/made; cat /etc/hostname; mount -t tmpfs x /tmp 2>&1; echo end; sleep 1000")
	config.Mounts = []*cri.Mount{{HostPath: volume, ContainerPath: "/mnt"}}
	id := r.launch(config)
	r.eventually("it has told", func() bool { return strings.Contains(r.output(), "end") })
	out := r.output()
	for _, want := range []string{"0\n", "    1048576      65536", "0 0 /bin/sh", "0 0 /made", "0 0 /mnt/theirs", "0 0 /mnt/made", "vessel"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	pid, err := r.engine.Pid(context.Background(), id)
	check(t, err)
	var st unix.Stat_t
	check(t, unix.Stat(filepath.Join("/proc", strconv.Itoa(pid)), &st))
	if st.Uid != 1048576 {
		t.Errorf("on the machine it is user %d", st.Uid)
	}
	for _, made := range []string{filepath.Join(volume, "made"), filepath.Join(r.details(id).Upper, "made")} {
		check(t, unix.Stat(made, &st))
		if st.Uid != 0 {
			t.Errorf("%s is user %d's on disk", made, st.Uid)
		}
	}
	if out := r.exec(id, "id -u; readlink /proc/self/ns/user; readlink /proc/1/ns/user; echo x > /dev/null && echo null"); !strings.HasPrefix(out, "0\n") || !strings.Contains(out, "null") {
		t.Errorf("executed: %s", out)
	} else if lines := strings.Split(out, "\n"); lines[1] != lines[2] {
		t.Errorf("executed in another user namespace: %s", out)
	}
}

func TestProcessesCanBeSharedInAPodWithUsersOfItsOwn(t *testing.T) {
	r := newRig(t)
	r.ownUsers(cri.NamespaceMode_POD)
	first, second := sh("echo $$; sleep 1000"), sh("grep -l sleep /proc/[0-9]*/comm | wc -l; ls /proc/1/root 2>&1 | head -1; ulimit -n")
	first.Linux.SecurityContext.NamespaceOptions.Pid = cri.NamespaceMode_POD
	second.Linux.SecurityContext.NamespaceOptions.Pid = cri.NamespaceMode_POD
	id := r.launch(first)
	r.eventually("it is up", func() bool { return r.output() != "" })
	if out, _ := r.result(second); !strings.HasPrefix(out, "1") {
		t.Errorf("it sees %s", out)
	}
	if out := r.exec(id, "cat /proc/1/comm"); strings.Contains(out, "sleep") {
		t.Errorf("process 1 is %s", out)
	}
	check(t, r.engine.RemovePodSandbox(context.Background(), r.id))
}

func TestEachPodHasARangeOfItsOwn(t *testing.T) {
	r := newRig(t)
	r.ownUsers(cri.NamespaceMode_CONTAINER)
	ctx := context.Background()
	ranges := map[uint32]string{}
	for range 3 {
		id, err := r.engine.RunPodSandbox(ctx, r.pod, "")
		check(t, err)
		s, err := r.engine.sandbox(id)
		check(t, err)
		first := s.Users.UIDs[0].HostId
		if other := ranges[first]; other != "" {
			t.Errorf("%s and %s have the same range", id, other)
		}
		ranges[first] = id
	}
	check(t, r.engine.RemovePodSandbox(ctx, ranges[firstBlock*blockSize]))
	id, err := r.engine.RunPodSandbox(ctx, r.pod, "")
	check(t, err)
	s, err := r.engine.sandbox(id)
	check(t, err)
	if s.Users.Block != firstBlock {
		t.Errorf("a range that is free again is not used: %d", s.Users.Block)
	}
	r.pod.Linux.SecurityContext.NamespaceOptions.UsernsOptions.Uids = []*cri.IDMapping{{ContainerId: 1, HostId: 70000, Length: 10}}
	if _, err := r.engine.RunPodSandbox(ctx, r.pod, ""); err == nil || !strings.Contains(err.Error(), "no user 0") && !strings.Contains(err.Error(), "no group 0") {
		t.Errorf("a mapping without root: %v", err)
	}
}

func TestATerminalBelongsToThePodsUsers(t *testing.T) {
	r := newRig(t)
	r.ownUsers(cri.NamespaceMode_CONTAINER)
	config := sh("stat -c '%u %g' $(tty); echo hello > $(tty)")
	config.Tty = true
	out, _ := r.result(config)
	if !strings.Contains(out, "0 5") || !strings.Contains(out, "hello") {
		t.Errorf("it says %s", out)
	}
}

// A tmpfs maps ids since Linux 6.3. Before, it cannot be the root, and as a volume it is mounted as it is.
func TestWhatCannotMapIDsIsRefusedAsTheRootAndUnmappedAsAVolume(t *testing.T) {
	r := newRig(t)
	r.ownUsers(cri.NamespaceMode_CONTAINER)
	dir := t.TempDir()
	check(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	check(t, os.CopyFS(dir, os.DirFS(r.image())))
	volume := sh("stat -c %u /mnt/etc")
	volume.Mounts = []*cri.Mount{{HostPath: dir, ContainerPath: "/mnt"}}
	owner, _ := r.result(volume)
	id := r.createWith(sh("stat -c %u /etc"), Extra{RootFS: &RootFS{Path: dir}})
	err := r.engine.StartContainer(context.Background(), id)
	if err == nil && owner == "0" {
		return // this kernel can
	}
	if owner != "65534" || err == nil || !strings.Contains(err.Error(), "its file system cannot map the ids of a user namespace") {
		t.Errorf("the volume's files are of user %s; as the root: %v", owner, err)
	}
	volume.Mounts[0].UidMappings = r.podUsers()
	if why := r.refused(volume); !strings.Contains(why, "cannot map the ids") {
		t.Errorf("a volume that must be mapped: %s", why)
	}
}

// podUsers are the ids of the rig's pod.
func (r *rig) podUsers() []*cri.IDMapping {
	r.t.Helper()
	s, err := r.engine.sandbox(r.id)
	check(r.t, err)
	return s.Users.UIDs
}
