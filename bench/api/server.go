package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const protobuf = runtime.ContentTypeProtobuf

// server is one of the two API servers that are compared, with the etcd that it may need beside it.
type server struct {
	name, dir  string
	kubeconfig string
	commands   [][]string // in the order in which they are started; the last one is the API server
	clean      []string   // run at the very end
	running    []*exec.Cmd
	spent      time.Duration // processor time of processes that have ended
}

// start runs it and returns how long it took until it said that it was ready.
func (s *server) start(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	for i, command := range s.commands {
		log, err := os.OpenFile(filepath.Join(s.dir, "log"+strconv.Itoa(i)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return 0, err
		}
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Stdout, cmd.Stderr = log, log
		err = errors.Join(cmd.Start(), log.Close())
		if err != nil {
			return 0, err
		}
		s.running = append(s.running, cmd)
	}
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

func (s *server) ready(ctx context.Context) error {
	return poll(ctx, s.name+" to be ready", func() error {
		config, err := s.config("")
		if err != nil {
			return err
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// stop ends it as an administrator does, the API server first.
func (s *server) stop() error {
	var errs []error
	for len(s.running) > 0 {
		last := s.running[len(s.running)-1]
		s.running = s.running[:len(s.running)-1]
		errs = append(errs, last.Process.Signal(syscall.SIGTERM))
		_ = last.Wait() // how it ends is not what is measured
		s.spent += last.ProcessState.UserTime() + last.ProcessState.SystemTime()
	}
	return errors.Join(errs...)
}

func (s *server) end() error {
	err := s.stop()
	if s.clean == nil {
		return err
	}
	out, failed := exec.Command(s.clean[0], s.clean[1:]...).CombinedOutput()
	if failed != nil {
		return errors.Join(err, fmt.Errorf("%s: %w\n%s", s.clean[0], failed, out))
	}
	return err
}

// config is one client's: each has a connection of its own.
func (s *server) config(contentType string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	config.ContentType = contentType
	if contentType == protobuf {
		config.AcceptContentTypes = protobuf + "," + runtime.ContentTypeJSON
	}
	config.Dial = (&net.Dialer{}).DialContext
	return config, nil
}

func (s *server) client(contentType string) (*kubernetes.Clientset, error) {
	config, err := s.config(contentType)
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

func (s *server) clients(n int, contentType string) ([]*kubernetes.Clientset, error) {
	all := make([]*kubernetes.Clientset, n)
	for i := range all {
		client, err := s.client(contentType)
		if err != nil {
			return nil, err
		}
		if _, err := client.CoreV1().Namespaces().Get(context.Background(), "default", metav1.GetOptions{}); err != nil {
			return nil, err
		}
		all[i] = client
	}
	return all, nil
}

// memory is the resident set of all its processes, in bytes.
func (s *server) memory() (sum int64, err error) {
	for _, cmd := range s.running {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read memory of %s: %w", cmd.Path, err)
		}
		sum += kb * 1024
	}
	return sum, nil
}

// processorTime is what its processes have taken so far, those that have ended too; proc_pid_stat(5) counts it in hundredths.
func (s *server) processorTime() time.Duration {
	var ticks int64
	for _, cmd := range s.running {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		for _, field := range fields[11:13] { // utime and stime
			n, _ := strconv.ParseInt(field, 10, 64)
			ticks += n
		}
	}
	return s.spent + time.Duration(ticks)*10*time.Millisecond
}

// poll tries every 2 ms for at most two minutes.
func poll(ctx context.Context, what string, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
	}
}
