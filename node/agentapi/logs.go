package agentapi

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/internal/crilog"
)

func (a *api) logs(w http.ResponseWriter, r *http.Request) {
	namespace, pod, name := r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container")
	query := r.URL.Query()
	options, err := logOptions(query)
	if err != nil {
		fail(w, err)
		return
	}
	status, err := a.Pods.Container(namespace, pod, name, query.Get("previous") == "true")
	if err != nil {
		fail(w, err)
		return
	}
	options.Alive = func() bool {
		now, err := a.Runtime.ContainerStatus(r.Context(), status.Id)
		return err == nil && now.State == cri.ContainerState_CONTAINER_RUNNING
	}
	out := flushing(w)
	stdout, stderr := streams(query.Get("stream"), out)
	w.Header().Set("Content-Type", "text/plain")
	if options.Follow {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
	}
	if err := crilog.Read(r.Context(), status.LogPath, options, stdout, stderr); err != nil && r.Context().Err() == nil {
		fmt.Fprintln(out, err)
	}
}

// streams leaves out the one that was not asked for.
func streams(which string, out io.Writer) (stdout, stderr io.Writer) {
	switch which {
	case "Stdout":
		return out, nil
	case "Stderr":
		return nil, out
	}
	return out, out
}

// logOptions are PodLogOptions as the API server passes them on.
func logOptions(query url.Values) (crilog.Options, error) {
	o := crilog.All()
	o.Follow, o.Timestamps = query.Get("follow") == "true", query.Get("timestamps") == "true"
	for name, field := range map[string]*int64{"tailLines": &o.Tail, "limitBytes": &o.Limit} {
		if text := query.Get(name); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n < 0 {
				return o, fmt.Errorf("%s: %q is not a number that can be", name, text)
			}
			*field = n
		}
	}
	if text := query.Get("sinceSeconds"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			return o, fmt.Errorf("sinceSeconds: %q is not a number above 0", text)
		}
		o.Since = time.Now().Add(-time.Duration(n) * time.Second)
	}
	if text := query.Get("sinceTime"); text != "" {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return o, fmt.Errorf("sinceTime: %w", err)
		}
		o.Since = at
	}
	return o, nil
}

// flusher sends on what is written at once, so that a follower sees it.
type flusher struct {
	http.ResponseWriter
	control *http.ResponseController
}

func flushing(w http.ResponseWriter) io.Writer {
	return &flusher{w, http.NewResponseController(w)}
}

func (f *flusher) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}
