// Package containertest states container.Runtime's contract one behaviour at a time, and has what tests of runtimes and
// of their users need: a Fake, and roots with busybox.
package containertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
)

// Rig is a runtime of its own for one behaviour.
type Rig struct {
	Runtime container.Runtime
	// Image has busybox: sh, cat, sleep, stty, tty, grep, nc and others, /etc/passwd and /etc/group with a user sailor
	// (1000:1000) who is in the group crew (50000), and no /bin/none.
	Image string
	// Logs is a folder for logs.
	Logs string
	// Limits says that the runtime holds containers to their limits of memory.
	Limits bool
}

// Suite runs every behaviour, each with a Rig of its own from start, which cleans up by t.Cleanup.
func Suite(t *testing.T, start func(t *testing.T) Rig) {
	groups := []map[string]func(*rig){sandboxBehaviours(), containerBehaviours(), userBehaviours(), mountBehaviours(), endBehaviours(), logBehaviours(), execBehaviours(), attachBehaviours(), portBehaviours(), reportBehaviours()}
	for _, group := range groups {
		for name, behaviour := range group {
			t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
				r := &rig{T: t, Rig: start(t), ctx: t.Context()}
				behaviour(r)
			})
		}
	}
}

// rig is a Rig at work.
type rig struct {
	*testing.T
	Rig
	ctx     context.Context
	sandbox string // the pod that run has made
	pods    int
	shows   int
}

func (r *rig) check(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// absent fails unless err says that something does not exist.
func (r *rig) absent(what string, err error) {
	r.Helper()
	if !errors.Is(err, container.ErrNotFound) {
		r.Errorf("%s: error is %v, want one that ErrNotFound matches", what, err)
	}
}

// podConfig is a new pod's.
func (r *rig) podConfig() *cri.PodSandboxConfig {
	r.pods++
	name := fmt.Sprintf("p%d", r.pods)
	return &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: name, Namespace: "suite", Uid: "uid-" + name, Attempt: 1}, Hostname: "vessel",
		LogDirectory: filepath.Join(r.Logs, name), Labels: map[string]string{"app": name}, Annotations: map[string]string{"note": "of " + name},
		Linux: &cri.LinuxPodSandboxConfig{CgroupParent: fmt.Sprintf("/suite/pod%d-%s", os.Getpid(), name)},
	}
}

// pod runs a further one.
func (r *rig) pod() (string, *cri.PodSandboxConfig) {
	r.Helper()
	config := r.podConfig()
	id, err := r.Runtime.RunPodSandbox(r.ctx, config, "")
	r.check(err)
	return id, config
}

func (r *rig) first() string {
	r.Helper()
	if r.sandbox == "" {
		r.sandbox, _ = r.pod()
	}
	return r.sandbox
}

func (r *rig) command(args ...string) *cri.ContainerConfig {
	return &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "c", Attempt: 2}, Image: &cri.ImageSpec{Image: r.Image}, Command: args, LogPath: "c.log",
		Labels: map[string]string{"part": "c"}, Annotations: map[string]string{"note": "of c"},
		Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER},
		}},
	}
}

func (r *rig) sh(script string) *cri.ContainerConfig { return r.command("sh", "-c", script) }

// create makes a container in the first pod.
func (r *rig) create(config *cri.ContainerConfig) string {
	r.Helper()
	return r.createIn(r.first(), config)
}

func (r *rig) createIn(sandbox string, config *cri.ContainerConfig) string {
	r.Helper()
	id, err := r.Runtime.CreateContainer(r.ctx, sandbox, config, r.podConfig())
	r.check(err)
	return id
}

// launch creates and starts.
func (r *rig) launch(config *cri.ContainerConfig) string {
	r.Helper()
	id := r.create(config)
	r.check(r.Runtime.StartContainer(r.ctx, id))
	return id
}

func (r *rig) status(id string) *cri.ContainerStatus {
	r.Helper()
	s, err := r.Runtime.ContainerStatus(r.ctx, id)
	r.check(err)
	return s
}

func (r *rig) waitExit(id string) *cri.ContainerStatus {
	r.Helper()
	r.eventually("the container has ended", func() bool { return r.status(id).State == cri.ContainerState_CONTAINER_EXITED })
	return r.status(id)
}

// result runs a command to its end.
func (r *rig) result(config *cri.ContainerConfig) (output string, end *cri.ContainerStatus) {
	r.Helper()
	end = r.waitExit(r.launch(config))
	return r.output(end), end
}

const patience = time.Minute

func (r *rig) eventually(what string, done func() bool) {
	r.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			r.Fatalf("not so after %v: %s", patience, what)
		}
	}
}

// entry is one line of a log in CRI's format.
type entry struct {
	at          time.Time
	stream, tag string
	text        string
}

func (r *rig) entries(path string) []entry {
	r.Helper()
	data, err := os.ReadFile(path)
	r.check(err)
	var all []entry
	for line := range strings.Lines(string(data)) {
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(fields) < 4 {
			r.Fatalf("log line %q is not in CRI's format", line)
		}
		at, err := time.Parse(time.RFC3339Nano, fields[0])
		r.check(err)
		all = append(all, entry{at: at, stream: fields[1], tag: fields[2], text: fields[3]})
	}
	return all
}

// output is what a container has logged, lines joined as they were.
func (r *rig) output(c *cri.ContainerStatus) string {
	r.Helper()
	var b strings.Builder
	for _, e := range r.entries(c.LogPath) {
		b.WriteString(e.text)
		if e.tag == "F" {
			b.WriteString("\n")
		}
	}
	return b.String()
}

// says waits until a running container has logged a text.
func (r *rig) says(id, text string) {
	r.Helper()
	path := r.status(id).LogPath
	r.eventually(fmt.Sprintf("the container has said %q", text), func() bool {
		data, _ := os.ReadFile(path)
		return strings.Contains(string(data), text)
	})
}
