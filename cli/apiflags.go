//go:build !nocluster

package cli

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"dhow/apiserver"
	"dhow/apiserver/audit"
	"dhow/assemble"
)

// apiFlags say how the API server is run; names and meanings are kube-apiserver's.
type apiFlags struct {
	limits            apiserver.Limits
	fairness, profile bool
	minRequestTimeout int
	audit             *audit.Config
	encryptionFile    string
	encryptionReload  bool
	all               *pflag.FlagSet // for /flagz
}

func (f *apiFlags) register(flags *pflag.FlagSet) {
	l := apiserver.DefaultLimits()
	f.all = flags
	flags.IntVar(&f.limits.MaxRequestsInFlight, "max-requests-inflight", l.MaxRequestsInFlight,
		"most reads answered at once; with priority and fairness the sum with the next flag is shared out")
	flags.IntVar(&f.limits.MaxMutatingRequestsInFlight, "max-mutating-requests-inflight", l.MaxMutatingRequestsInFlight, "most writes answered at once")
	flags.BoolVar(&f.fairness, "enable-priority-and-fairness", true, "queue requests and share out the API server by FlowSchemas")
	flags.DurationVar(&f.limits.RequestTimeout, "request-timeout", l.RequestTimeout, "time for a request that is not long-running")
	flags.IntVar(&f.minRequestTimeout, "min-request-timeout", int(l.MinRequestTimeout/time.Second), "seconds after which a watch may be ended, at most twice that")
	flags.IntVar(&f.limits.MaxStreams, "http2-max-streams-per-connection", l.MaxStreams, "most requests at once on one HTTP/2 connection")
	flags.Float64Var(&f.limits.GoawayChance, "goaway-chance", 0, "fraction of requests, at most 0.02, after which an HTTP/2 client is told to connect anew")
	flags.DurationVar(&f.limits.LivezGracePeriod, "livez-grace-period", 0, "time from its start in which /livez takes an unfinished start for good")
	flags.DurationVar(&f.limits.ShutdownDelay, "shutdown-delay-duration", 0, "time that the API server goes on, with only /readyz failing, when it is asked to end")
	flags.BoolVar(&f.limits.RefuseWhileEnding, "shutdown-send-retry-after", false, "answer 429 while requests under way finish, instead of not listening")
	flags.DurationVar(&f.limits.ShutdownWatchGrace, "shutdown-watch-termination-grace-period", l.ShutdownWatchGrace, "time for watches to end when the API server ends")
	flags.BoolVar(&f.profile, "profiling", true, "serve /debug/pprof to administrators")
	flags.StringVar(&f.encryptionFile, "encryption-provider-config", "", "EncryptionConfiguration to use in place of the cluster's own key")
	flags.BoolVar(&f.encryptionReload, "encryption-provider-config-automatic-reload", true, "read --encryption-provider-config anew when it has changed")
	f.audit = audit.New()
	f.audit.AddFlags(flags)
}

// operations checks what the user typed.
func (f *apiFlags) operations(p *flagParser) assemble.Operations {
	l := f.limits
	l.WithoutPriorityAndFairness, l.WithoutProfiling = !f.fairness, !f.profile
	l.MinRequestTimeout = time.Duration(f.minRequestTimeout) * time.Second
	for flag, n := range map[string]int{
		"max-requests-inflight": l.MaxRequestsInFlight, "max-mutating-requests-inflight": l.MaxMutatingRequestsInFlight,
		"min-request-timeout": f.minRequestTimeout, "http2-max-streams-per-connection": l.MaxStreams,
	} {
		p.require(n >= 0, flag, n, "must not be negative")
	}
	for flag, d := range map[string]time.Duration{
		"shutdown-delay-duration": l.ShutdownDelay, "livez-grace-period": l.LivezGracePeriod, "shutdown-watch-termination-grace-period": l.ShutdownWatchGrace,
	} {
		p.require(d >= 0, flag, d, "must not be negative")
	}
	p.require(l.RequestTimeout > 0, "request-timeout", l.RequestTimeout, "must be a time such as 1m")
	p.require(l.GoawayChance >= 0 && l.GoawayChance <= 0.02, "goaway-chance", l.GoawayChance, "must be between 0 and 0.02")
	p.require(!f.fairness || l.MaxRequestsInFlight+l.MaxMutatingRequestsInFlight > 0, "max-requests-inflight", l.MaxRequestsInFlight,
		"with --max-mutating-requests-inflight 0 nothing is left for --enable-priority-and-fairness to share out")
	if err := f.audit.Validate(); err != nil {
		p.wrong = append(p.wrong, err)
	}
	return assemble.Operations{
		Limits: l, Audit: f.audit, Flags: flagReader{f.all}, EncryptionFile: f.encryptionFile, EncryptionReload: f.encryptionReload,
	}
}

// require remembers what is wrong unless good.
func (p *flagParser) require(good bool, flag string, value any, want string) {
	if !good {
		p.fail(flag, fmt.Sprint(value), want)
	}
}

// flagReader shows flags on /flagz.
type flagReader struct{ flags *pflag.FlagSet }

// GetFlagz implements flagz.Reader.
func (r flagReader) GetFlagz() map[string]string {
	values := map[string]string{}
	r.flags.VisitAll(func(f *pflag.Flag) { values[f.Name] = f.Value.String() })
	return values
}
