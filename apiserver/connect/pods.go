package connect

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/proxy"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	genericrest "k8s.io/apiserver/pkg/registry/generic/rest"
	"k8s.io/apiserver/pkg/registry/rest"
	translate "k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// Pods are the subresources of pods that lead to their nodes, by name.
func Pods(nodes *Nodes) map[string]func(*genericregistry.Store) rest.Storage {
	return map[string]func(*genericregistry.Store) rest.Storage{
		"log": func(s *genericregistry.Store) rest.Storage { return &logREST{pods{s, nodes}} },
		"exec": func(s *genericregistry.Store) rest.Storage {
			return &streamREST{pods{s, nodes}, func() runtime.Object { return &corev1.PodExecOptions{} }, execTarget}
		},
		"attach": func(s *genericregistry.Store) rest.Storage {
			return &streamREST{pods{s, nodes}, func() runtime.Object { return &corev1.PodAttachOptions{} }, attachTarget}
		},
		"portforward": func(s *genericregistry.Store) rest.Storage {
			return &streamREST{pods{s, nodes}, func() runtime.Object { return &corev1.PodPortForwardOptions{} }, forwardTarget}
		},
		"proxy": func(s *genericregistry.Store) rest.Storage { return &podProxy{pods{s, nodes}} },
	}
}

// pods finds a pod, its container and its node.
type pods struct {
	store *genericregistry.Store
	nodes *Nodes
}

func (p pods) Destroy() {} // the store is the kind's

func (p pods) get(ctx context.Context, name string) (*corev1.Pod, error) {
	obj, err := p.store.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return obj.(*corev1.Pod), nil
}

// containerOf is the container that the client names, or the pod's only one.
func containerOf(pod *corev1.Pod, name string) (string, error) {
	names := containerNames(pod)
	if name == "" {
		if len(pod.Spec.Containers) == 1 {
			return pod.Spec.Containers[0].Name, nil
		}
		if preferred := pod.Annotations["kubectl.kubernetes.io/default-container"]; slices.Contains(names, preferred) {
			return preferred, nil
		}
		return "", apierrors.NewBadRequest(fmt.Sprintf("a container name must be specified for pod %s, choose one of: %s", pod.Name, names))
	}
	if !slices.Contains(names, name) {
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, pod.Name))
	}
	return name, nil
}

func containerNames(pod *corev1.Pod) []string {
	var names []string
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	for _, c := range pod.Spec.InitContainers {
		names = append(names, c.Name)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		names = append(names, c.Name)
	}
	return names
}

func scheduled(pod *corev1.Pod) error {
	if pod.Spec.NodeName == "" {
		return apierrors.NewBadRequest(fmt.Sprintf("pod %s %s", pod.Name, errNotScheduled))
	}
	return nil
}

// logREST is pods/log.
type logREST struct{ pods }

var _ rest.GetterWithOptions = &logREST{}

func (r *logREST) New() runtime.Object { return &corev1.Pod{} }
func (r *logREST) NewGetOptions() (runtime.Object, bool, string) {
	return &corev1.PodLogOptions{}, false, ""
}
func (r *logREST) ProducesMIMETypes(string) []string { return []string{"text/plain"} }
func (r *logREST) ProducesObject(string) any         { return "" }
func (r *logREST) OverrideMetricsVerb(verb string) string {
	if verb == "GET" {
		return "CONNECT"
	}
	return verb
}

// Get streams the log from the node.
func (r *logREST) Get(ctx context.Context, name string, options runtime.Object) (runtime.Object, error) {
	o, ok := options.(*corev1.PodLogOptions)
	if !ok {
		return nil, fmt.Errorf("invalid options object: %#v", options)
	}
	pod, err := r.get(ctx, name)
	if err != nil {
		return nil, err
	}
	container, err := containerOf(pod, o.Container)
	if err != nil {
		return nil, err
	}
	if pod.Spec.NodeName == "" {
		return &genericrest.LocationStreamer{}, nil // nothing has been written yet
	}
	location, err := r.nodes.url(ctx, pod.Spec.NodeName, fmt.Sprintf("/containerLogs/%s/%s/%s", pod.Namespace, pod.Name, container), logQuery(o))
	if err != nil {
		return nil, err
	}
	return &genericrest.LocationStreamer{
		Location: location, Transport: r.nodes.transport, ContentType: "text/plain", Flush: o.Follow,
		ResponseChecker:             genericrest.NewGenericHttpResponseChecker(corev1.Resource("pods/log"), name),
		RedirectChecker:             genericrest.PreventRedirects,
		TLSVerificationErrorCounter: noCounter{},
	}, nil
}

// noCounter counts nothing: certificates of nodes are always verified.
type noCounter struct{}

func (noCounter) Inc() {}

func logQuery(o *corev1.PodLogOptions) url.Values {
	q := url.Values{}
	flag := func(name string, set bool) {
		if set {
			q.Set(name, "true")
		}
	}
	number := func(name string, n *int64) {
		if n != nil {
			q.Set(name, strconv.FormatInt(*n, 10))
		}
	}
	flag("follow", o.Follow)
	flag("previous", o.Previous)
	flag("timestamps", o.Timestamps)
	number("sinceSeconds", o.SinceSeconds)
	number("tailLines", o.TailLines)
	number("limitBytes", o.LimitBytes)
	if o.SinceTime != nil {
		q.Set("sinceTime", o.SinceTime.Format(time.RFC3339))
	}
	if o.Stream != nil {
		q.Set("stream", *o.Stream)
	}
	return q
}

// streamREST is one of the subresources whose connection is upgraded: exec, attach, portforward.
type streamREST struct {
	pods
	options func() runtime.Object
	target  func(pod *corev1.Pod, options runtime.Object) (path string, query url.Values, err error)
}

var _ rest.Connecter = &streamREST{}

func (r *streamREST) New() runtime.Object { return r.options() }
func (r *streamREST) NewConnectOptions() (runtime.Object, bool, string) {
	return r.options(), false, ""
}
func (r *streamREST) ConnectMethods() []string { return []string{"GET", "POST"} }

// Connect hands the client's upgraded connection on to the node.
func (r *streamREST) Connect(ctx context.Context, name string, options runtime.Object, responder rest.Responder) (http.Handler, error) {
	pod, err := r.get(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := scheduled(pod); err != nil {
		return nil, err
	}
	path, query, err := r.target(pod, options)
	if err != nil {
		return nil, err
	}
	location, err := r.nodes.url(ctx, pod.Spec.NodeName, path, query)
	if err != nil {
		return nil, err
	}
	handler := proxy.NewUpgradeAwareHandler(location, r.nodes.transport, false, true, proxy.NewErrorResponder(responder))
	return r.translated(handler, location, options), nil
}

// translated lets clients that speak WebSocket talk to the node, which speaks SPDY.
func (r *streamREST) translated(handler http.Handler, location *url.URL, options runtime.Object) http.Handler {
	var streams translate.Options
	switch o := options.(type) {
	case *corev1.PodExecOptions:
		streams = translate.Options{Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr, Tty: o.TTY}
	case *corev1.PodAttachOptions:
		streams = translate.Options{Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr, Tty: o.TTY}
	default:
		return translate.NewTranslatingHandler(handler, translate.NewTunnelingHandler(handler), wsstream.IsWebSocketRequestWithTunnelingProtocol)
	}
	translator := translate.NewStreamTranslatorHandler(location, r.nodes.transport, 0, streams)
	return translate.NewTranslatingHandler(handler, translator, wsstream.IsWebSocketRequestWithStreamCloseProtocol)
}

func execTarget(pod *corev1.Pod, options runtime.Object) (string, url.Values, error) {
	o := options.(*corev1.PodExecOptions)
	container, err := containerOf(pod, o.Container)
	if err != nil {
		return "", nil, err
	}
	if len(o.Command) == 0 {
		return "", nil, apierrors.NewBadRequest("you must specify at least one command for the container")
	}
	q := streamQuery(o.Stdin, o.Stdout, o.Stderr, o.TTY)
	q["command"] = o.Command
	return fmt.Sprintf("/exec/%s/%s/%s", pod.Namespace, pod.Name, container), q, nil
}

func attachTarget(pod *corev1.Pod, options runtime.Object) (string, url.Values, error) {
	o := options.(*corev1.PodAttachOptions)
	container, err := containerOf(pod, o.Container)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/attach/%s/%s/%s", pod.Namespace, pod.Name, container), streamQuery(o.Stdin, o.Stdout, o.Stderr, o.TTY), nil
}

func streamQuery(stdin, stdout, stderr, tty bool) url.Values {
	q := url.Values{}
	for name, set := range map[string]bool{"input": stdin, "output": stdout, "error": stderr, "tty": tty} {
		if set {
			q.Set(name, "1")
		}
	}
	return q
}

func forwardTarget(pod *corev1.Pod, options runtime.Object) (string, url.Values, error) {
	o := options.(*corev1.PodPortForwardOptions)
	q := url.Values{}
	if len(o.Ports) > 0 {
		var ports []string
		for _, p := range o.Ports {
			ports = append(ports, strconv.Itoa(int(p)))
		}
		q.Set("port", strings.Join(ports, ","))
	}
	return fmt.Sprintf("/portForward/%s/%s", pod.Namespace, pod.Name), q, nil
}
