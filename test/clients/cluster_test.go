package clients

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"dhow/internal/imagebuild"
)

const (
	busyboxImage = "example.test/busybox:1"
	// busyboxPath is Debian's busybox-static, which .ci/run installs.
	busyboxPath = "/bin/busybox"
)

// cluster is a dhow server on a root of its own.
type cluster struct {
	tools, root string
	server      *exec.Cmd
	ended       chan struct{}
	config      *rest.Config
	client      kubernetes.Interface
	names       atomic.Int64
}

// startCluster returns when the node is Ready and has the image of busybox.
func startCluster(tools string) (_ *cluster, err error) {
	c := &cluster{tools: tools}
	if c.root, err = os.MkdirTemp("", "dhow-clients-root-"); err != nil {
		return nil, err
	}
	if err := c.start(); err != nil {
		return nil, err
	}
	if err := errors.Join(poll("a Ready node", time.Minute, c.ready), c.loadBusybox()); err != nil {
		return nil, errors.Join(err, c.end(), fmt.Errorf("the server's log:\n%s", c.log()))
	}
	return c, nil
}

func (c *cluster) start() error {
	log, err := os.OpenFile(c.root+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	c.server = exec.Command(c.tool("dhow"), "--root", c.root, "server")
	c.server.Stdout, c.server.Stderr = log, log
	if err := c.server.Start(); err != nil {
		return err
	}
	c.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(c.server, c.ended)
	return nil
}

// kill ends the server as a crash does.
func (c *cluster) kill() {
	_ = c.server.Process.Kill()
	<-c.ended
}

// end stops the server and removes all that it left.
func (c *cluster) end() error {
	_ = c.server.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(30 * time.Second):
		c.kill()
		return errors.New("the server did not end within 30 s of SIGTERM")
	}
	return errors.Join(command(context.Background(), "", c.tool("dhow"), "--root", c.root, "reset", "--yes"), os.RemoveAll(c.root))
}

// log is all that the server said. It lies beside the root, so that it is there when the root no longer is.
func (c *cluster) log() []byte {
	path := c.root + ".log"
	defer os.Remove(path)
	log, _ := os.ReadFile(path)
	return log
}

func (c *cluster) tool(name string) string { return filepath.Join(c.tools, name) }

func (c *cluster) kubeconfig() string { return filepath.Join(c.root, "etc/dhow/kubeconfig") }

// ready connects, and says why the node is not Ready yet.
func (c *cluster) ready() (err error) {
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig()); err != nil {
		return err
	}
	c.config.QPS = -1
	if c.client, err = kubernetes.NewForConfig(c.config); err != nil {
		return err
	}
	nodes, err := c.client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, node := range nodes.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
	}
	return fmt.Errorf("none of %d nodes is", len(nodes.Items))
}

// loadBusybox gives the node an image with busybox under all its names.
func (c *cluster) loadBusybox() error {
	files := []imagebuild.File{{Path: "/bin/busybox", Source: busyboxPath, Mode: 0o755}, {Path: "/tmp", Mode: 0o1777}}
	for _, applet := range []string{"sh", "sleep", "cat", "echo", "ls", "tar", "wget", "nc", "httpd", "id", "true", "false", "test"} {
		files = append(files, imagebuild.File{Path: "/bin/" + applet, Link: "busybox"})
	}
	image, err := imagebuild.Image(v1.Config{Cmd: []string{"/bin/sh"}, Env: []string{"PATH=/bin"}}, files...)
	if err != nil {
		return fmt.Errorf("%w (busybox-static must be installed)", err)
	}
	path := filepath.Join(c.root, "busybox.tar")
	if err := imagebuild.WriteArchive(image, busyboxImage, path); err != nil {
		return err
	}
	return command(context.Background(), "", c.tool("dhow"), "--root", c.root, "load", "-i", path)
}

// namespace makes a namespace that atEnd deletes, and a kubeconfig for it.
func (c *cluster) namespace(atEnd func(func()), dir string) (name, kubeconfig string, err error) {
	name = fmt.Sprintf("test-%d", c.names.Add(1))
	namespaces := c.client.CoreV1().Namespaces()
	ctx := context.Background()
	if _, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		return "", "", err
	}
	atEnd(func() { _ = namespaces.Delete(ctx, name, metav1.DeleteOptions{}) })
	config, err := clientcmd.LoadFromFile(c.kubeconfig())
	if err != nil {
		return "", "", err
	}
	config.Contexts[config.CurrentContext].Namespace = name
	kubeconfig = filepath.Join(dir, "kubeconfig")
	return name, kubeconfig, errors.Join(clientcmd.WriteToFile(*config, kubeconfig), poll("the namespace's account", time.Minute, func() error {
		_, err := c.client.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		return err
	}))
}

// poll tries until it succeeds; the last error is its own.
func poll(what string, within time.Duration, try func() error) error {
	deadline := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("waiting %s for %s: %w", within, what, err)
		}
	}
}
