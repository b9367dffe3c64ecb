package podspec

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// hooksAndProbes checks what holds for containers that run on.
func (c *checker) hooksAndProbes(at *field.Path, ctr *corev1.Container) {
	if ctr.Lifecycle != nil {
		c.lifecycle(at.Child("lifecycle"), ctr.Lifecycle)
	}
	c.successOnce(at.Child("livenessProbe"), ctr.LivenessProbe)
	if p, here := ctr.ReadinessProbe, at.Child("readinessProbe"); p != nil {
		c.probe(here, p)
		if p.TerminationGracePeriodSeconds != nil {
			c.Invalid(here.Child("terminationGracePeriodSeconds"), p.TerminationGracePeriodSeconds, "must not be set for readinessProbes")
		}
	}
	c.successOnce(at.Child("startupProbe"), ctr.StartupProbe)
}

// successOnce checks a probe of which one success is enough.
func (c *checker) successOnce(at *field.Path, p *corev1.Probe) {
	if p == nil {
		return
	}
	c.probe(at, p)
	if p.SuccessThreshold != 1 {
		c.Invalid(at.Child("successThreshold"), p.SuccessThreshold, "must be 1")
	}
}

func (c *checker) probe(at *field.Path, p *corev1.Probe) {
	c.handler(at, handler{exec: p.Exec, http: p.HTTPGet, tcp: p.TCPSocket, grpc: p.GRPC})
	c.NonNegative(at.Child("initialDelaySeconds"), int64(p.InitialDelaySeconds))
	c.NonNegative(at.Child("timeoutSeconds"), int64(p.TimeoutSeconds))
	c.NonNegative(at.Child("periodSeconds"), int64(p.PeriodSeconds))
	c.NonNegative(at.Child("successThreshold"), int64(p.SuccessThreshold))
	c.NonNegative(at.Child("failureThreshold"), int64(p.FailureThreshold))
	if grace := p.TerminationGracePeriodSeconds; grace != nil && *grace <= 0 {
		c.Invalid(at.Child("terminationGracePeriodSeconds"), *grace, "must be greater than 0")
	}
}

func (c *checker) lifecycle(at *field.Path, l *corev1.Lifecycle) {
	if h := l.PostStart; h != nil {
		c.handler(at.Child("postStart"), handler{exec: h.Exec, http: h.HTTPGet, tcp: h.TCPSocket, sleep: h.Sleep})
	}
	if h := l.PreStop; h != nil {
		c.handler(at.Child("preStop"), handler{exec: h.Exec, http: h.HTTPGet, tcp: h.TCPSocket, sleep: h.Sleep})
	}
	if l.StopSignal != nil {
		c.stopSignal(at.Child("stopSignal"), *l.StopSignal)
	}
}

// handler is what a probe or a hook does.
type handler struct {
	exec  *corev1.ExecAction
	http  *corev1.HTTPGetAction
	tcp   *corev1.TCPSocketAction
	grpc  *corev1.GRPCAction
	sleep *corev1.SleepAction
}

// handler requires exactly one action.
func (c *checker) handler(at *field.Path, h handler) {
	found := false
	one := func(name string, set bool, checkIt func(*field.Path)) {
		switch {
		case !set:
		case found:
			c.Forbidden(at.Child(name), "may not specify more than 1 handler type")
		default:
			found = true
			checkIt(at.Child(name))
		}
	}
	one("exec", h.exec != nil, func(at *field.Path) {
		if len(h.exec.Command) == 0 {
			c.Required(at.Child("command"), "")
		}
	})
	one("httpGet", h.http != nil, func(at *field.Path) { c.httpGet(at, h.http) })
	one("tcpSocket", h.tcp != nil, func(at *field.Path) { c.PortNumberOrName(at.Child("port"), h.tcp.Port) })
	one("grpc", h.grpc != nil, func(at *field.Path) { c.PortNumberOrName(at.Child("port"), intstr.FromInt32(h.grpc.Port)) })
	one("sleep", h.sleep != nil, func(at *field.Path) { c.sleep(at, h.sleep.Seconds) })
	if !found {
		c.Required(at, "must specify a handler type")
	}
}

func (c *checker) httpGet(at *field.Path, get *corev1.HTTPGetAction) {
	c.NonEmpty(at.Child("path"), get.Path)
	c.PortNumberOrName(at.Child("port"), get.Port)
	check.Known(&c.List, at.Child("scheme"), get.Scheme, corev1.URISchemeHTTP, corev1.URISchemeHTTPS)
	for _, h := range get.HTTPHeaders {
		c.Each(at.Child("httpHeaders"), h.Name, validation.IsHTTPHeaderName(h.Name))
	}
}

func (c *checker) sleep(at *field.Path, seconds int64) {
	if grace := c.spec.TerminationGracePeriodSeconds; grace != nil && (seconds < 0 || seconds > *grace) {
		c.Invalid(at, seconds, fmt.Sprintf("must be non-negative and less than terminationGracePeriodSeconds (%d)", *grace))
	}
}

func (c *checker) stopSignal(at *field.Path, signal corev1.Signal) {
	switch os := c.spec.OS; {
	case os == nil:
		c.Forbidden(at, "may not be set for containers with empty `spec.os.name`")
	case os.Name == corev1.Windows:
		check.Known(&c.List, at, signal, corev1.SIGKILL, corev1.SIGTERM)
	case os.Name == corev1.Linux:
		check.Known(&c.List, at, signal, linuxSignals()...)
	}
}

// linuxSignals are SIGABRT … SIGXFSZ and the real-time ones, which are named from both ends.
func linuxSignals() []corev1.Signal {
	signals := []corev1.Signal{
		corev1.SIGABRT, corev1.SIGALRM, corev1.SIGBUS, corev1.SIGCHLD, corev1.SIGCLD, corev1.SIGCONT, corev1.SIGFPE,
		corev1.SIGHUP, corev1.SIGILL, corev1.SIGINT, corev1.SIGIO, corev1.SIGIOT, corev1.SIGKILL, corev1.SIGPIPE,
		corev1.SIGPOLL, corev1.SIGPROF, corev1.SIGPWR, corev1.SIGQUIT, corev1.SIGSEGV, corev1.SIGSTKFLT,
		corev1.SIGSTOP, corev1.SIGSYS, corev1.SIGTERM, corev1.SIGTRAP, corev1.SIGTSTP, corev1.SIGTTIN,
		corev1.SIGTTOU, corev1.SIGURG, corev1.SIGUSR1, corev1.SIGUSR2, corev1.SIGVTALRM, corev1.SIGWINCH,
		corev1.SIGXCPU, corev1.SIGXFSZ, corev1.SIGRTMIN, corev1.SIGRTMAX,
	}
	for i := 1; i <= 15; i++ {
		signals = append(signals, corev1.Signal(fmt.Sprintf("SIGRTMIN+%d", i)))
	}
	for i := 1; i <= 14; i++ {
		signals = append(signals, corev1.Signal(fmt.Sprintf("SIGRTMAX-%d", i)))
	}
	return signals
}
