package agentapi

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"dhow/container"
	"dhow/container/remote"
)

// running finds a container that can be talked to.
func (a *api) running(r *http.Request) (*cri.ContainerStatus, error) {
	status, err := a.Pods.Container(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container"), false)
	if err != nil {
		return nil, err
	}
	if status.State != cri.ContainerState_CONTAINER_RUNNING {
		return nil, fmt.Errorf("container %s is not running", r.PathValue("container"))
	}
	return status, nil
}

func (a *api) exec(w http.ResponseWriter, r *http.Request) {
	status, err := a.running(r)
	if err != nil {
		fail(w, err)
		return
	}
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		fail(w, err)
		return
	}
	remotecommand.ServeExec(w, r, remote.Executor{Runtime: a.Runtime}, "", "", status.Id, r.URL.Query()["command"], options, remote.IdleTimeout, remote.OpenTimeout, remotecommand.SupportedStreamingProtocols)
}

func (a *api) attach(w http.ResponseWriter, r *http.Request) {
	status, err := a.running(r)
	if err != nil {
		fail(w, err)
		return
	}
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		fail(w, err)
		return
	}
	if spec := a.Pods.Spec(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container")); spec != nil {
		options.TTY, options.Stdin = spec.TTY && options.TTY, options.Stdin && spec.Stdin
	}
	remotecommand.ServeAttach(w, r, remote.Executor{Runtime: a.Runtime}, "", "", status.Id, options, remote.IdleTimeout, remote.OpenTimeout, remotecommand.SupportedStreamingProtocols)
}

func (a *api) portForward(w http.ResponseWriter, r *http.Request) {
	sandbox, err := a.Pods.Sandbox(r.PathValue("namespace"), r.PathValue("pod"))
	if err != nil {
		fail(w, err)
		return
	}
	options, err := portforward.NewV4Options(r)
	if err != nil {
		fail(w, err)
		return
	}
	portforward.ServePortForward(w, r, remote.Executor{Runtime: a.Runtime}, sandbox, "", options, remote.IdleTimeout, remote.OpenTimeout, portforward.SupportedProtocols)
}

// run runs one command and answers with all it has written.
func (a *api) run(w http.ResponseWriter, r *http.Request) {
	status, err := a.running(r)
	if err != nil {
		fail(w, err)
		return
	}
	var out bytes.Buffer
	code, err := a.Runtime.Exec(r.Context(), status.Id, container.ExecOptions{
		Command: r.URL.Query()["cmd"], Streams: container.Streams{Stdout: &out, Stderr: &out},
	})
	if err == nil && code != 0 {
		err = errors.New(out.String())
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(out.Bytes())
}
