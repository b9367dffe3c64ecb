package foreign_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/container/containertest"
	"dhow/container/foreign"
)

// rig is a runtime whose handler "other" is a program.
type rig struct {
	*testing.T
	runtime *foreign.Runtime
	state   string
	logs    string
	pod     *cri.PodSandboxConfig
	sandbox string
}

func newRig(t *testing.T, program string) *rig {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%v: apt-get install %s", err, program)
	}
	images := containertest.NewBusybox(t)
	config := container.Config{StateDir: filepath.Join(t.TempDir(), "state"), CgroupParent: fmt.Sprintf("/dhow-foreign-%d", os.Getpid()), Images: images}
	engine, err := container.New(config)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, state: filepath.Join(t.TempDir(), "foreign"), logs: t.TempDir()}
	r.runtime, err = foreign.New(foreign.Config{Engine: engine, Images: images, Programs: map[string]string{"other": path}, StateDir: r.state})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.runtime.Run(ctx) }()
	t.Cleanup(func() {
		err := r.runtime.RemovePodSandbox(context.Background(), r.sandbox)
		stop()
		if err := errors.Join(err, <-ended, container.Reset(context.Background(), config)); err != nil {
			t.Error(err)
		}
	})
	r.check(engine.Ready(ctx))
	r.pod = &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: "p", Namespace: "n", Uid: "u"}, Hostname: "vessel", LogDirectory: r.logs,
		DnsConfig: &cri.DNSConfig{Servers: []string{"10.0.0.10"}},
	}
	r.sandbox, err = r.runtime.RunPodSandbox(ctx, r.pod, "other")
	r.check(err)
	return r
}

func (r *rig) check(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func sh(script string) *cri.ContainerConfig {
	return &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: "busybox"}, Command: []string{"sh", "-c", script}, LogPath: "c.log",
		Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER}}},
	}
}

func (r *rig) launch(config *cri.ContainerConfig) string {
	r.Helper()
	id, err := r.runtime.CreateContainer(r.Context(), r.sandbox, config, r.pod)
	r.check(err)
	r.check(r.runtime.StartContainer(r.Context(), id))
	return id
}

func (r *rig) eventually(what string, done func() bool) {
	r.Helper()
	deadline := time.After(time.Minute)
	for tick := time.NewTicker(10 * time.Millisecond); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			r.Fatalf("not so after a minute: %s\n%s", what, r.output())
		}
	}
}

func (r *rig) output() string {
	data, _ := os.ReadFile(filepath.Join(r.logs, "c.log"))
	return string(data)
}

func (r *rig) waitExit(id string) *cri.ContainerStatus {
	r.Helper()
	var status *cri.ContainerStatus
	r.eventually("the container has ended", func() bool {
		var err error
		status, err = r.runtime.ContainerStatus(r.Context(), id)
		r.check(err)
		return status.State == cri.ContainerState_CONTAINER_EXITED
	})
	return status
}

// each runs a test with every program.
func each(t *testing.T, test func(r *rig)) {
	for _, program := range []string{"runc", "crun"} {
		t.Run(program, func(t *testing.T) { test(newRig(t, program)) })
	}
}

func TestAnotherRuntimeRunsLogsAndEnds(t *testing.T) {
	each(t, func(r *rig) {
		end := r.waitExit(r.launch(sh("echo $$ in $(cat /etc/hostname); cat /etc/resolv.conf; echo oops >&2; exit 3")))
		for _, want := range []string{"stdout F 1 in vessel", "nameserver 10.0.0.10", "stderr F oops"} {
			if !strings.Contains(r.output(), want) {
				r.Errorf("%q is missing in:\n%s", want, r.output())
			}
		}
		if end.ExitCode != 3 || end.ImageRef != "sha256:busybox" {
			r.Errorf("status is %v", end)
		}
		s, err := r.runtime.PodSandboxStatus(r.Context(), r.sandbox)
		r.check(err)
		if s.RuntimeHandler != "other" {
			r.Errorf("the pod's handler is %q", s.RuntimeHandler)
		}
	})
}

func TestAnotherRuntimeIsEnteredAndStopped(t *testing.T) {
	each(t, func(r *rig) {
		id := r.launch(sh("trap 'exit 7' TERM; echo up; while true; do sleep 0.02; done"))
		r.eventually("it is up", func() bool { return strings.Contains(r.output(), "up") })
		var out, errs bytes.Buffer
		code, err := r.runtime.Exec(r.Context(), id, container.ExecOptions{
			Command: []string{"sh", "-c", "cat; echo $EXTRA; ls /bin/busybox; exit 5"}, Env: []string{"EXTRA=more"},
			Streams: container.Streams{Stdin: strings.NewReader("in\n"), Stdout: &out, Stderr: &errs},
		})
		r.check(err)
		if code != 5 || out.String() != "in\nmore\n/bin/busybox\n" {
			r.Errorf("code %d, out %q, err %q", code, out.String(), errs.String())
		}
		r.check(r.runtime.StopContainer(r.Context(), id, time.Minute))
		if end := r.waitExit(id); end.ExitCode != 7 {
			r.Errorf("status is %v", end)
		}
	})
}

func TestAnotherRuntimesContainerCanBeEnteredAsSoonAsItIsStarted(t *testing.T) {
	each(t, func(r *rig) {
		for n := range 3 {
			config := sh("sleep 1000")
			config.Metadata.Attempt = uint32(n)
			var out bytes.Buffer
			code, err := r.runtime.Exec(r.Context(), r.launch(config), container.ExecOptions{Command: []string{"echo", "in"}, Streams: container.Streams{Stdout: &out}})
			if err != nil || code != 0 || out.String() != "in\n" {
				r.Fatalf("code %d, %v, %q", code, err, out.String())
			}
		}
	})
}

func TestAnotherRuntimeHasTerminals(t *testing.T) {
	each(t, func(r *rig) {
		config := sh("tty && echo yes; sleep 1000")
		config.Tty = true
		id := r.launch(config)
		r.eventually("it has a terminal", func() bool { return strings.Contains(r.output(), "yes") })
		var out bytes.Buffer
		code, err := r.runtime.Exec(r.Context(), id, container.ExecOptions{Command: []string{"tty"}, Streams: container.Streams{Stdout: &out, TTY: true}})
		r.check(err)
		if code != 0 || !strings.Contains(out.String(), "/dev/pts/") {
			r.Errorf("exec ended with %d: %q", code, out.String())
		}
	})
}

func TestAnotherRuntimeRunsAsWhomTheConfigurationNames(t *testing.T) {
	each(t, func(r *rig) {
		config := sh("id -u; id -g; grep CapBnd /proc/self/status; grep Seccomp: /proc/self/status; touch /x || echo read-only")
		config.Linux.SecurityContext.RunAsUser, config.Linux.SecurityContext.RunAsGroup = &cri.Int64Value{Value: 1000}, &cri.Int64Value{Value: 2000}
		config.Linux.SecurityContext.Capabilities = &cri.Capability{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"CHOWN"}}
		config.Linux.SecurityContext.ReadonlyRootfs = true
		r.waitExit(r.launch(config))
		for _, want := range []string{" F 1000\n", " F 2000\n", "CapBnd:\t0000000000000001", "Seccomp:\t2", "read-only"} {
			if !strings.Contains(r.output(), want) {
				r.Errorf("%q is missing in:\n%s", want, r.output())
			}
		}
	})
}

func TestTheStatusTellsWhomAnotherRuntimesContainerRunsAs(t *testing.T) {
	each(t, func(r *rig) {
		for policy, want := range map[cri.SupplementalGroupsPolicy]string{
			cri.SupplementalGroupsPolicy_Merge: "1000 1234 50000", cri.SupplementalGroupsPolicy_Strict: "1000 1234",
		} {
			config := sh("id -G; sleep 1000")
			config.LogPath, config.Annotations = policy.String()+".log", map[string]string{"own": "note"}
			s := config.Linux.SecurityContext
			s.RunAsUser, s.SupplementalGroups, s.SupplementalGroupsPolicy = &cri.Int64Value{Value: 1000}, []int64{1234}, policy
			status, err := r.runtime.ContainerStatus(r.Context(), r.launch(config))
			r.check(err)
			u := status.GetUser().GetLinux()
			slices.Sort(u.GetSupplementalGroups())
			if told := strings.Trim(fmt.Sprint(u.GetSupplementalGroups()), "[]"); u.GetUid() != 1000 || u.GetGid() != 1000 || told != want {
				r.Errorf("%v: the user is %v", policy, u)
			}
			r.eventually("its groups are "+want, func() bool {
				said, _ := os.ReadFile(status.LogPath)
				return strings.HasSuffix(string(said), " F "+want+"\n")
			})
			if len(status.Annotations) != 1 {
				r.Errorf("annotations are %v", status.Annotations)
			}
		}
	})
}

func TestAnotherRuntimesContainerMountsAnImage(t *testing.T) {
	each(t, func(r *rig) {
		config := sh("head -n 1 /part/group; (: > /part/x) 2>/dev/null || echo read-only; /image/bin/busybox true 2>/dev/null || echo no programs; sleep 1000")
		image := &cri.ImageSpec{Image: "busybox"}
		config.Mounts = []*cri.Mount{{Image: image, ContainerPath: "/part", ImageSubPath: "etc"}, {Image: image, ContainerPath: "/image"}}
		id := r.launch(config)
		r.eventually("all is said", func() bool { return strings.Contains(r.output(), "no programs") })
		if out := r.output(); !strings.Contains(out, "root:x:0:") || !strings.Contains(out, "read-only") {
			r.Errorf("it says %s", out)
		}
		status, err := r.runtime.ContainerStatus(r.Context(), id)
		r.check(err)
		if m := status.Mounts; len(m) != 2 || m[0].GetImage().GetImage() != "busybox" || m[0].ContainerPath != "/part" {
			r.Errorf("its mounts are told as %v", m)
		}
		r.check(r.runtime.RemoveContainer(r.Context(), id))
		if left, _ := filepath.Glob(filepath.Join(r.state, "[0-9a-f]*")); len(left) > 0 {
			r.Errorf("left: %v", left)
		}
		config.Mounts[0].ImageSubPath = "none"
		if _, err := r.runtime.CreateContainer(r.Context(), r.sandbox, config, r.pod); err == nil || !strings.Contains(err.Error(), `"none"`) {
			r.Errorf("a path that is not there: %v", err)
		}
	})
}

func TestHandlersAreToldWithWhatTheyCan(t *testing.T) {
	r := newRig(t, "runc")
	s, err := r.runtime.Status(t.Context())
	r.check(err)
	var told []string
	for _, h := range s.RuntimeHandlers {
		told = append(told, fmt.Sprint(h.Name, " ", h.Features.RecursiveReadOnlyMounts, " ", h.Features.UserNamespaces))
	}
	if want := []string{" true true", "dhow true true", "other true false"}; !slices.Equal(told, want) {
		t.Errorf("handlers are %q, want %q", told, want)
	}
}

func TestNothingIsLeftOfAnotherRuntimesContainer(t *testing.T) {
	each(t, func(r *rig) {
		r.launch(sh("echo up; sleep 1000"))
		r.eventually("it is up", func() bool { return strings.Contains(r.output(), "up") })
		r.check(r.runtime.RemovePodSandbox(r.Context(), r.sandbox))
		left, err := filepath.Glob(filepath.Join(r.state, "*"))
		r.check(err)
		inside, err := filepath.Glob(filepath.Join(r.state, "state", "*"))
		r.check(err)
		if len(left) > 1 || len(inside) > 0 {
			r.Errorf("left: %v %v", left, inside)
		}
		mounts, err := os.ReadFile("/proc/self/mounts")
		r.check(err)
		if strings.Contains(string(mounts), r.state) {
			r.Error("a mount is left")
		}
	})
}

func TestAnUnknownHandlerIsToldWithThoseThatThereAre(t *testing.T) {
	r := newRig(t, "runc")
	_, err := r.runtime.RunPodSandbox(t.Context(), r.pod, "kata")
	if err == nil || !strings.Contains(err.Error(), `"kata"`) || !strings.Contains(err.Error(), "dhow, other") {
		t.Errorf("error is %v", err)
	}
}

func TestOwnHandlersRunInTheEngine(t *testing.T) {
	r := newRig(t, "runc")
	own, err := r.runtime.RunPodSandbox(t.Context(), r.pod, "dhow")
	r.check(err)
	other := r.sandbox
	r.sandbox = own
	r.launch(sh("echo up"))
	r.eventually("it has spoken", func() bool { return strings.Contains(r.output(), "up") })
	if made, _ := filepath.Glob(filepath.Join(r.state, "*")); len(made) > 0 {
		t.Errorf("bundles were made: %v", made)
	}
	r.check(r.runtime.RemovePodSandbox(t.Context(), own))
	r.sandbox = other
}
