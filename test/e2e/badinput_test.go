package e2e

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// serverError runs a server that must refuse to start, and returns what it says.
func (n *node) serverError(flags ...string) string {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, append([]string{"--root", n.root, "server"}, flags...)...).CombinedOutput()
	if err == nil || ctx.Err() != nil {
		n.t.Fatalf("the server did not refuse to start: %v\n%s", err, out)
	}
	return string(out)
}

func wantAll(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%q is missing in:\n%s", w, got)
		}
	}
}

func TestASecondServerOnTheSameDataIsRefused(t *testing.T) {
	n := startNode(t)
	wantAll(t, n.serverError("--https-listen-port", "7443", "--kubelet-port", "11250"), "another dhow server", n.root)
	n.kubectl("get", "nodes")
}

func TestATakenPortIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:6443")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	wantAll(t, newNode(t).serverError(), "6443", "address already in use", "--https-listen-port")
}

func TestDataOfAnotherVersionIsRefusedAndKept(t *testing.T) {
	n := startNode(t)
	n.kubectl("create", "configmap", "kept")
	n.stop()
	version := filepath.Join(n.root, "var/lib/dhow/etcd/version")
	old, err := os.ReadFile(version)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(version, []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantAll(t, n.serverError(), "version", "99")
	if err := os.WriteFile(version, old, 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	n.waitReady()
	n.kubectl("get", "configmap", "kept")
}

func TestOnlyRootCanRunAServer(t *testing.T) {
	// The test's own copy lies where only root may look: nobody needs one of its own.
	dir, err := os.MkdirTemp("", "dhow-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "dhow")
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--root", filepath.Join(dir, "root"), "server")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Error("it did not fail")
	}
	wantAll(t, string(out), "must run as root")
}

func TestAManifestWithAWrongFieldIsRefusedByName(t *testing.T) {
	n := startNode(t)
	out, err := n.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: wrong}
spec:
  replica: 3
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: a, image: a}]}
`)
	if err == nil {
		t.Error("an unknown field was accepted")
	}
	wantAll(t, out, `unknown field "spec.replica"`)

	out, err = n.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: wrong}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: b}}
    spec: {containers: [{name: a, image: a}]}
`)
	if err == nil {
		t.Error("labels that do not match were accepted")
	}
	wantAll(t, out, `The Deployment "wrong" is invalid`, "spec.template.metadata.labels", "`selector` does not match template `labels`")
}

// waitingReason waits until the pod's only container waits for the reason given, and returns its message.
func (n *node) waitingReason(pod, reason string) string {
	n.t.Helper()
	var message string
	n.eventually(pod+" to wait for "+reason, time.Minute, func() error {
		p, err := n.client.CoreV1().Pods("default").Get(context.Background(), pod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, s := range p.Status.ContainerStatuses {
			if w := s.State.Waiting; w != nil && w.Reason == reason {
				message = w.Message
				return nil
			}
			if l := s.LastTerminationState.Terminated; l != nil && l.Reason == reason {
				message = l.Message
				return nil
			}
			if l := s.State.Terminated; l != nil && l.Reason == reason {
				message = l.Message
				return nil
			}
		}
		return errorf("its status is %+v", p.Status.ContainerStatuses)
	})
	return message
}

func (n *node) createPod(name, image string, command ...string) {
	n.t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: new(int64),
		Containers:                    []corev1.Container{{Name: "main", Image: image, Command: command}},
	}}
	n.eventually("pod "+name+" to be accepted", time.Minute, func() error {
		_, err := n.client.CoreV1().Pods("default").Create(context.Background(), pod, metav1.CreateOptions{})
		return err
	})
}

func TestAnImageThatCannotBeHadIsToldInStatusAndEvents(t *testing.T) {
	n := startNode(t)
	registry := startRegistry(t)
	n.createPod("refused", "127.0.0.1:1/none:1")
	wantAll(t, n.waitingReason("refused", "ErrImagePull"), "127.0.0.1:1/none:1", "connection refused")
	n.createPod("missing", registry+"/none:1")
	wantAll(t, n.waitingReason("missing", "ErrImagePull"), registry+"/none:1", "not found")
	n.waitingReason("missing", "ImagePullBackOff")
	n.eventually("events that tell it", time.Minute, func() error {
		out := n.kubectl("describe", "pod", "missing")
		for _, want := range []string{"Failed", "Error: ErrImagePull", "Back-off pulling image"} {
			if !strings.Contains(out, want) {
				return errorf("%q is missing in:\n%s", want, out)
			}
		}
		return nil
	})
	n.createPod("misnamed", "UPPER CASE")
	n.waitingReason("misnamed", "InvalidImageName")
}

func TestACommandThatIsNotInTheImageIsTold(t *testing.T) {
	n := startNode(t)
	n.loadBusybox()
	n.createPod("typo", busyboxImage, "/bin/no-such-command")
	wantAll(t, n.waitingReason("typo", "StartError"), "/bin/no-such-command", "no such file")
}

// fill writes to path until no more than left bytes are free on the disk below dir.
func fill(t *testing.T, path, dir string, left uint64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		if st.Bavail*uint64(st.Bsize) <= left {
			return
		}
		if _, err := f.Write(block); err != nil {
			return // it is full
		}
	}
}

func TestAFullDiskStopsWritesButNotTheCluster(t *testing.T) {
	n := newNode(t)
	// The program of the cluster, unpacked, takes 130 MB of it; etcd wants 215.
	if err := syscall.Mount("tmpfs", n.root, "tmpfs", 0, "size=400m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(n.root, syscall.MNT_DETACH) })
	n.start()
	n.waitReady()
	n.kubectl("create", "configmap", "before")
	filler := filepath.Join(n.root, "filler")
	fill(t, filler, n.root, 64<<20)
	n.eventually("writes to be refused", time.Minute, func() error {
		out, err := n.dhow("kubectl", "create", "configmap", "refused")
		if err == nil || !strings.Contains(out, "no space left on device") {
			_, _ = n.dhow("kubectl", "delete", "configmap", "refused")
			return errorf("%s", out)
		}
		return nil
	})
	fill(t, filler, n.root, 0)
	if out, err := n.dhow("load", "-i", busyboxArchive(t)); err == nil {
		t.Errorf("an image was loaded onto a full disk:\n%s", out)
	} else {
		wantAll(t, out, "no space left on device")
	}
	n.kubectl("get", "configmap", "before")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	n.eventually("writes to go on", time.Minute, func() error {
		out, err := n.dhow("kubectl", "create", "configmap", "after")
		if err != nil && !strings.Contains(out, "already exists") {
			return errorf("%s", out)
		}
		return nil
	})
}
