package apiserver

import (
	"errors"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilflowcontrol "k8s.io/apiserver/pkg/util/flowcontrol"
)

// Limits say how much a server takes on at once, how long that may take, and how it ends.
type Limits struct {
	// MaxRequestsInFlight and MaxMutatingRequestsInFlight bound what is answered at once; long-running requests, such
	// as watches, are not counted. With priority and fairness their sum is shared out among the priority levels.
	MaxRequestsInFlight, MaxMutatingRequestsInFlight int
	// WithoutPriorityAndFairness leaves it at these two numbers.
	WithoutPriorityAndFairness bool
	// RequestTimeout is for every request that is not long-running; a watch ends after MinRequestTimeout or up to twice
	// that.
	RequestTimeout, MinRequestTimeout time.Duration
	// MaxStreams is how many requests one HTTP/2 connection may have under way.
	MaxStreams int
	// GoawayChance is how probably a request makes its client dial anew, at most 0.02.
	GoawayChance float64
	// LivezGracePeriod is how long after its start a server counts as alive though its start goes on.
	LivezGracePeriod time.Duration
	// ShutdownDelay is how long a server that is asked to end goes on while only /readyz says so; then watches have
	// ShutdownWatchGrace to end, and other requests RequestTimeout.
	ShutdownDelay, ShutdownWatchGrace time.Duration
	// RefuseWhileEnding answers what comes in while requests under way finish with 429; else nobody listens any more.
	RefuseWhileEnding bool
	// WithoutProfiling leaves /debug/pprof out.
	WithoutProfiling bool
}

// DefaultLimits are upstream's, but that ending watches is waited for.
func DefaultLimits() Limits {
	return Limits{
		MaxRequestsInFlight: 400, MaxMutatingRequestsInFlight: 200,
		RequestTimeout: time.Minute, MinRequestTimeout: 30 * time.Minute,
		MaxStreams: 1000, ShutdownWatchGrace: time.Second,
	}
}

func (l Limits) apply(c *genericapiserver.Config) {
	c.MaxRequestsInFlight, c.MaxMutatingRequestsInFlight = l.MaxRequestsInFlight, l.MaxMutatingRequestsInFlight
	c.RequestTimeout, c.MinRequestTimeout = l.RequestTimeout, int(l.MinRequestTimeout/time.Second)
	c.GoawayChance = l.GoawayChance
	c.LivezGracePeriod = l.LivezGracePeriod
	c.ShutdownDelayDuration, c.ShutdownWatchTerminationGracePeriod = l.ShutdownDelay, l.ShutdownWatchGrace
	c.ShutdownSendRetryAfter = l.RefuseWhileEnding
	c.EnableProfiling = !l.WithoutProfiling
}

// fairness shares out the server among its clients by FlowSchemas and PriorityLevelConfigurations, if it has them.
func (s *Server) fairness(c *genericapiserver.Config) error {
	if s.config.Limits.WithoutPriorityAndFairness || !s.servesIn(flowcontrolv1.GroupName, "flowschemas") ||
		!s.servesIn(flowcontrolv1.GroupName, "prioritylevelconfigurations") {
		return nil
	}
	total := c.MaxRequestsInFlight + c.MaxMutatingRequestsInFlight
	if total <= 0 {
		return errors.New("--max-requests-inflight and --max-mutating-requests-inflight are both 0: priority and fairness has nothing to share out")
	}
	client, err := s.Client(apiserverUser, mastersGroup)
	if err != nil {
		return err
	}
	c.FlowControl = ownParts{utilflowcontrol.New(s.informers, client.FlowcontrolV1(), total)}
	return nil
}

// StopsWithin is how long Run may take to return once its context has ended.
func (s *Server) StopsWithin() time.Duration {
	l := s.config.Limits
	return l.ShutdownDelay + max(l.RequestTimeout, l.ShutdownWatchGrace) + 5*time.Second
}
