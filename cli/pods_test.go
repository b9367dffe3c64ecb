package cli

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/assemble"
	"dhow/container"
)

// startPod runs a pod with one container, as a node agent on the machine's root would.
func (m machine) startPod(t *testing.T, script string) (*container.Engine, string) {
	t.Helper()
	local, err := nodeConfig(&environment{Root: m.root, Stderr: io.Discard})
	check(t, err)
	runtime, _, err := assemble.Engine(local)
	check(t, err)
	ctx := context.Background()
	pod := &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: "front", Namespace: "default", Uid: "u"}, Hostname: "front", LogDirectory: filepath.Join(m.root, "logs"),
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE}}},
	}
	sandbox, err := runtime.RunPodSandbox(ctx, pod, "")
	check(t, err)
	t.Cleanup(func() {
		check(t, runtime.StopPodSandbox(ctx, sandbox))
		check(t, runtime.RemovePodSandbox(ctx, sandbox))
	})
	id, err := runtime.CreateContainer(ctx, sandbox, &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "web"}, Image: &cri.ImageSpec{Image: "busybox", UserSpecifiedImage: "busybox"}, LogPath: "web.log",
		Command: []string{"sh", "-c", script}, Envs: []*cri.KeyValue{{Key: "KEY", Value: []byte("value")}},
		Labels: map[string]string{podNameLabel: "front", podNamespaceLabel: "default", containerNameLabel: "web"},
		Mounts: []*cri.Mount{{HostPath: m.root, ContainerPath: "/host", Readonly: true}},
		Linux:  &cri.LinuxContainerConfig{Resources: &cri.LinuxContainerResources{MemoryLimitInBytes: 64 << 20}},
	}, pod)
	check(t, err)
	check(t, runtime.StartContainer(ctx, id))
	return runtime, id
}

func TestPodsContainersAreShownBesideTheEnginesOwn(t *testing.T) {
	if !onAMachine(t) {
		return
	}
	m := newMachine(t)
	m.dhow(t, "run", "-d", "--name", "own", "busybox", "sleep", "1000")
	runtime, id := m.startPod(t, `trap "exit 3" TERM; echo up; head -c 5000 /dev/zero > /grown; while true; do sleep 0.05; done`)
	const name = "k8s_web_front_default"
	until(t, "it is up", func() bool { return m.dhow(t, "logs", name) == "up" })
	for _, c := range []struct{ args, want string }{
		{"ps --format {{.Names}}|{{.Image}}|{{.State}}", name + "|busybox|running\nown|busybox|running"},
		{"ps --format ({{.Networks}})", "()\n(bridge)"},
		{"ps -q --no-trunc --filter label=" + podNameLabel + "=front", id},
		{"ps --filter name=own --format {{.Names}}", "own"},
		{"ps -a --filter status=exited --format {{.Names}}", ""},
		{"inspect -f {{.Name}}|{{.State.Status}}|{{.Config.Hostname}}|{{.HostConfig.Memory}}|{{.Path}} " + name, "/" + name + "|running|front|67108864|sh"},
		{"inspect -f {{range.Mounts}}{{.Source}}:{{.Destination}}:{{.RW}}{{end}} front/web", m.root + ":/host:false"},
		{"container inspect -f {{.Id}}|{{.LogPath}} default/front", id + "|" + filepath.Join(m.root, "logs/web.log")},
		{"inspect --size -f {{.SizeRw}} " + id[:12], "5000"},
		{"stats --no-stream --format {{.Name}} " + name + " own", name + "\nown"},
	} {
		if out := m.dhow(t, strings.Fields(c.args)...); out != c.want {
			t.Errorf("dhow %s: %q, not %q", c.args, out, c.want)
		}
	}
	if out := m.dhow(t, "top", "web"); !strings.Contains(out, "sh -c trap") {
		t.Errorf("its processes are %q", out)
	}
	if out := m.dhow(t, "exec", "web", "sh", "-c", "echo $KEY"); out != "value" {
		t.Errorf("a command in it says %q", out)
	}
	if hosts := m.dhow(t, "inspect", "-f", "{{.HostnamePath}}", name); !strings.HasSuffix(hosts, "/hostname") {
		t.Errorf("its hostname is from %q", hosts)
	}
	if out, code := m.try(t, "rm", name); code != 1 || !strings.Contains(out, "managed by their node") {
		t.Errorf("rm: %d: %s", code, out)
	}
	check(t, runtime.StopContainer(context.Background(), id, time.Minute))
	if out := m.dhow(t, "ps", "-a", "--filter", "exited=3", "--format", "{{.Names}} {{.Status}}"); !strings.HasPrefix(out, name+" Exited (3) ") {
		t.Errorf("after its end: %q", out)
	}
	if out := m.dhow(t, "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}", name); out != "exited 3 0" {
		t.Errorf("inspect after its end: %q", out)
	}
	for _, command := range []string{"inspect", "container inspect", "stats --no-stream", "top", "logs"} {
		if out, code := m.try(t, append(strings.Fields(command), "nosuch")...); code != 1 || !strings.Contains(out, "No such") {
			t.Errorf("%s of what is not there: %d: %s", command, code, out)
		}
	}
}
