package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-base/version"

	"dhow/api/podspec"
	"dhow/container"
	"dhow/node/probe"
)

// The kinds of probes.
const (
	startupProbe   = "startup"
	readinessProbe = "readiness"
	livenessProbe  = "liveness"
)

var probeWords = map[string]string{startupProbe: "Startup", readinessProbe: "Readiness", livenessProbe: "Liveness"}

// prober asks the containers of one pod how they are, each probe of each container in a goroutine of its own, and
// keeps the answers.
type prober struct {
	node   *Node
	worker *worker

	mu      sync.Mutex
	loops   map[probeKey]context.CancelFunc
	answers map[probeKey]bool
}

// probeKey is one probe of one start of a container.
type probeKey struct{ id, kind string }

func newProber(n *Node, w *worker) *prober {
	return &prober{node: n, worker: w, loops: map[probeKey]context.CancelFunc{}, answers: map[probeKey]bool{}}
}

func probeOf(c *corev1.Container, kind string) *corev1.Probe {
	return map[string]*corev1.Probe{startupProbe: c.StartupProbe, readinessProbe: c.ReadinessProbe, livenessProbe: c.LivenessProbe}[kind]
}

// follow probes what runs, and no more what has ended.
func (p *prober) follow(ctx context.Context, pod *corev1.Pod, o *observed) {
	wanted := map[probeKey]bool{}
	for c := range podspec.Containers(&pod.Spec) {
		i := o.current(c.Name)
		if !i.running() || order(pod, c.Name) >= 0 && !podspec.IsSidecar(c.Container) {
			continue
		}
		for _, kind := range []string{startupProbe, readinessProbe, livenessProbe} {
			if probeOf(c.Container, kind) == nil || kind != startupProbe && !p.started(i.Id, c.Container) {
				continue
			}
			wanted[probeKey{i.Id, kind}] = true
			p.begin(pod, c.Container, i, kind, p.node.ips(pod, o))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, cancel := range p.loops {
		if !wanted[key] {
			cancel()
			delete(p.loops, key)
			delete(p.answers, key)
		}
	}
}

// begin starts a loop that is not there yet.
func (p *prober) begin(pod *corev1.Pod, c *corev1.Container, i *instance, kind string, ips []string) {
	key := probeKey{i.Id, kind}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, there := p.loops[key]; there {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.loops[key] = cancel
	l := &probeLoop{
		prober: p, key: key, pod: pod, container: c, probe: probeOf(c, kind), ip: first(ips), started: time.Unix(0, i.StartedAt),
		before: wasSo(pod, c.Name, i.Id, kind),
	}
	if l.before {
		p.answers[key] = true
	}
	go l.run(ctx)
}

// wasSo: before this agent began, the API had it that the container was ready, or had started. It is so until a
// probe says otherwise: a new agent takes no pod out of service.
func wasSo(pod *corev1.Pod, name, id, kind string) bool {
	status := statusOf(pod, name)
	if status == nil || status.ContainerID != containerID(id) {
		return false
	}
	switch kind {
	case readinessProbe:
		return status.Ready
	case startupProbe:
		return isTrue(status.Started)
	}
	return false
}

// only ends the loops of all other kinds.
func (p *prober) only(kind string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, cancel := range p.loops {
		if key.kind != kind {
			cancel()
		}
	}
}

// stop ends all loops.
func (p *prober) stop() { p.only("") }

// started: the container runs and its startup probe, if it has one, has succeeded.
func (p *prober) started(id string, c *corev1.Container) bool {
	return c.StartupProbe == nil || p.answer(id, startupProbe)
}

// ready: it has started, and its readiness probe, if it has one, succeeds.
func (p *prober) ready(id string, c *corev1.Container) bool {
	return p.started(id, c) && (c.ReadinessProbe == nil || p.answer(id, readinessProbe))
}

func (p *prober) answer(id, kind string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answers[probeKey{id, kind}]
}

// set keeps an answer and has the worker look, if it is news.
func (p *prober) set(ctx context.Context, key probeKey, answer bool) {
	p.mu.Lock()
	news := p.answers[key] != answer && ctx.Err() == nil
	if news {
		p.answers[key] = answer
	}
	p.mu.Unlock()
	if news {
		p.worker.nudge()
	}
}

// probeLoop is one probe of one running container.
type probeLoop struct {
	*prober
	key       probeKey
	pod       *corev1.Pod
	container *corev1.Container
	probe     *corev1.Probe
	ip        string
	started   time.Time
	before    bool

	last bool // the last answer
	runs int  // how many times in a row
}

// earlyFirst is when a container that is not well at once is asked again for the first time. Until its first period
// is over it is asked ever less often; those failures do not count. So a pod is ready when it is, not seconds later.
const earlyFirst = 50 * time.Millisecond

func (l *probeLoop) run(ctx context.Context) {
	if l.key.kind == startupProbe && l.before {
		return
	}
	period := time.Duration(l.probe.PeriodSeconds) * time.Second
	begin := l.started.Add(time.Duration(l.probe.InitialDelaySeconds) * time.Second)
	if !pause(ctx, time.Until(begin)) {
		return
	}
	firstAsked, early := time.Now(), earlyFirst
	for {
		result := l.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		if !result.OK && l.mayAskEarly() && time.Since(firstAsked)+early < period {
			if !pause(ctx, early) {
				return
			}
			early *= 2
			continue
		}
		early = period
		l.count(ctx, result)
		if l.key.kind == startupProbe && l.answer(l.key.id, startupProbe) {
			return
		}
		if !pause(ctx, period) {
			return
		}
	}
}

// mayAskEarly: an extra question costs little, and nothing has been decided yet.
func (l *probeLoop) mayAskEarly() bool {
	return l.probe.Exec == nil && l.key.kind != livenessProbe && l.runs == 0 && !l.before && l.probe.SuccessThreshold <= 1
}

// pause waits; false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// count turns answers into a verdict by the probe's thresholds.
func (l *probeLoop) count(ctx context.Context, r probe.Result) {
	if r.OK == l.last && l.runs > 0 {
		l.runs++
	} else {
		l.last, l.runs = r.OK, 1
	}
	l.tell(r)
	threshold := max(1, int(l.probe.FailureThreshold))
	if r.OK {
		threshold = max(1, int(l.probe.SuccessThreshold))
	}
	if l.runs < threshold {
		return
	}
	if !r.OK && l.key.kind != readinessProbe {
		l.worker.setUnhealthy(l.key.id, l.key.kind)
		l.runs = 0
		l.worker.nudge()
		return
	}
	l.set(ctx, l.key, r.OK)
}

func (l *probeLoop) tell(r probe.Result) {
	switch {
	case r.Warning:
		l.node.events.pod(l.pod, l.container.Name, corev1.EventTypeWarning, "ProbeWarning", "%s probe warning: %s", probeWords[l.key.kind], r.Output)
	case !r.OK:
		l.node.events.pod(l.pod, l.container.Name, corev1.EventTypeWarning, "Unhealthy", "%s probe failed: %s", probeWords[l.key.kind], r.Output)
	}
}

// ask asks once.
func (l *probeLoop) ask(ctx context.Context) probe.Result {
	timeout := time.Duration(max(1, l.probe.TimeoutSeconds)) * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p := l.probe
	switch {
	case p.Exec != nil:
		return l.askExec(ctx, timeout)
	case p.HTTPGet != nil:
		target, headers, err := httpTarget(p.HTTPGet, l.container, l.ip)
		if err != nil {
			return probe.Result{Output: err.Error()}
		}
		return probe.HTTP(ctx, target, headers)
	case p.TCPSocket != nil:
		port, err := portOf(p.TCPSocket.Port, l.container)
		if err != nil {
			return probe.Result{Output: err.Error()}
		}
		return probe.TCP(ctx, net.JoinHostPort(orElse(p.TCPSocket.Host, l.ip), port))
	case p.GRPC != nil:
		service := ""
		if p.GRPC.Service != nil {
			service = *p.GRPC.Service
		}
		return probe.GRPC(ctx, net.JoinHostPort(l.ip, fmt.Sprint(p.GRPC.Port)), service)
	}
	return probe.Result{OK: true}
}

func (l *probeLoop) askExec(ctx context.Context, timeout time.Duration) probe.Result {
	var out bytes.Buffer
	limited := &limitedWriter{to: &out, left: 10 << 10}
	code, err := l.node.config.Runtime.Exec(ctx, l.key.id, container.ExecOptions{
		Command: l.probe.Exec.Command, Streams: container.Streams{Stdout: limited, Stderr: limited},
	})
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		return probe.Result{Output: fmt.Sprintf("command timed out: %q timed out after %v", strings.Join(l.probe.Exec.Command, " "), timeout)}
	case err != nil:
		return probe.Result{Output: err.Error()}
	}
	return probe.Result{OK: code == 0, Output: out.String()}
}

func orElse(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

// httpTarget is where an HTTP action asks, and with which headers.
func httpTarget(get *corev1.HTTPGetAction, c *corev1.Container, ip string) (target string, headers http.Header, err error) {
	port, err := portOf(get.Port, c)
	if err != nil {
		return "", nil, err
	}
	u, err := url.Parse(get.Path)
	if err != nil {
		u = &url.URL{Path: get.Path}
	}
	u.Scheme, u.Host = strings.ToLower(orElse(string(get.Scheme), "http")), net.JoinHostPort(orElse(get.Host, ip), port)
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = "/" + u.Path
	}
	headers = http.Header{}
	for _, h := range get.HTTPHeaders {
		headers.Add(h.Name, h.Value)
	}
	setDefault(headers, "User-Agent", "kube-probe/"+version.Get().Major+"."+version.Get().Minor)
	setDefault(headers, "Accept", "*/*")
	return u.String(), headers, nil
}

// setDefault sets a header that is not there; one that is there but empty is left out.
func setDefault(h http.Header, name, value string) {
	if _, there := h[name]; !there {
		h.Set(name, value)
	} else if h.Get(name) == "" {
		h.Del(name)
	}
}

// insecureClient asks containers, whose certificates no one has signed for the addresses we ask them at.
var insecureClient = &http.Client{Transport: &http.Transport{
	TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
}}
