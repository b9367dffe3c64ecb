package authn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	tokenunion "k8s.io/apiserver/pkg/authentication/token/union"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	configmetrics "k8s.io/apiserver/pkg/server/options/authenticationconfig/metrics"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"

	"dhow/internal/follow"
)

// jwt believes the OpenID Connect issuers that the configuration file, or flags, name.
type jwt struct {
	issuers    []string // of service accounts: nobody else's
	server     string
	algorithms []string                               // that are believed
	config     *apiserver.AuthenticationConfiguration // the first
	current    atomic.Pointer[verifiers]
	ended      sync.WaitGroup
}

// verifiers are one for each issuer of a configuration.
type verifiers struct {
	tokens authenticator.Token
	check  func() error
	close  context.CancelFunc
}

// AuthenticateToken implements authenticator.Token.
func (j *jwt) AuthenticateToken(ctx context.Context, text string) (*authenticator.Response, bool, error) {
	now := j.current.Load()
	if now == nil {
		return nil, false, nil // not yet started
	}
	return now.tokens.AuthenticateToken(ctx, text)
}

// openConfig reads the configuration file, and follows it.
func (a *Authentication) openConfig() error {
	path := a.config.ConfigFile
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--authentication-config: %w", err)
	}
	j := &jwt{issuers: a.config.Issuers, server: a.config.ServerID, algorithms: oidc.AllValidSigningAlgorithms()}
	if j.config, err = j.parse(data); err != nil {
		return fmt.Errorf("--authentication-config %s: %w", path, err)
	}
	if j.config.Anonymous != nil && a.config.Anonymous != nil {
		return fmt.Errorf("--authentication-config %s: %w", path, field.Forbidden(field.NewPath("anonymous"),
			"--anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration file"))
	}
	a.jwt = j
	configmetrics.RegisterMetrics()
	configmetrics.RecordAuthenticationConfigLastConfigInfo(j.server, string(data))
	a.followed = append(a.followed, &follow.File{
		Path: path, Data: data, Log: a.config.Log, Apply: j.apply,
		Failed: func() { configmetrics.RecordAuthenticationConfigAutomaticReloadFailure(j.server) },
		Applied: func(data []byte) {
			configmetrics.RecordAuthenticationConfigAutomaticReloadSuccess(j.server, string(data))
		},
	})
	return nil
}

// parse reads and checks a configuration.
func (j *jwt) parse(data []byte) (*apiserver.AuthenticationConfiguration, error) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	obj, err := runtime.Decode(serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder(), data)
	if err != nil {
		return nil, err
	}
	config, ok := obj.(*apiserver.AuthenticationConfiguration)
	if !ok {
		return nil, fmt.Errorf("expected AuthenticationConfiguration, got %T", obj)
	}
	return config, validation.ValidateAuthenticationConfiguration(authenticationcel.NewDefaultCompiler(), config, j.issuers).ToAggregate()
}

// start begins to fetch the issuers' keys; an issuer that cannot be reached is tried again.
func (j *jwt) start(ctx context.Context) {
	now, err := j.open(ctx, j.config)
	if err == nil { // it was checked
		j.current.CompareAndSwap(nil, now)
	}
}

func (j *jwt) stop() {
	j.ended.Wait()
	if now := j.current.Load(); now != nil {
		now.close()
	}
}

// open makes verifiers, which work until ctx ends or they are closed.
func (j *jwt) open(ctx context.Context, c *apiserver.AuthenticationConfiguration) (*verifiers, error) {
	ctx, cancel := context.WithCancel(ctx)
	var tokens []authenticator.Token
	var checks []func() error
	for i := range c.JWT {
		one, err := j.verifier(ctx, &c.JWT[i])
		if err != nil {
			cancel()
			return nil, fmt.Errorf("jwt[%d]: %w", i, err)
		}
		tokens, checks = append(tokens, one), append(checks, one.HealthCheck)
	}
	return &verifiers{tokens: tokenunion.NewFailOnError(tokens...), close: cancel, check: func() error {
		var all []error
		for _, check := range checks {
			all = append(all, check())
		}
		return errors.Join(all...)
	}}, nil
}

func (j *jwt) verifier(ctx context.Context, c *apiserver.JWTAuthenticator) (oidc.AuthenticatorTokenWithHealthCheck, error) {
	o := oidc.Options{
		JWTAuthenticator: *c, SupportedSigningAlgs: j.algorithms, DisallowedIssuers: j.issuers, APIServerID: j.server,
	}
	if c.Issuer.CertificateAuthority != "" {
		ca, err := dynamiccertificates.NewStaticCAContent("oidc-authenticator", []byte(c.Issuer.CertificateAuthority))
		if err != nil {
			return nil, err
		}
		o.CAContentProvider = ca
	}
	return oidc.New(ctx, o)
}

// A new configuration is taken when all its issuers have answered, for which it has a minute; requests that the old one
// still checks have as long.
const (
	answerTime = time.Minute
	askEvery   = 100 * time.Millisecond
	mercy      = time.Minute
)

// apply puts a new configuration in force.
func (j *jwt) apply(ctx context.Context, data []byte) error {
	config, err := j.parse(data)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(config.Anonymous, j.config.Anonymous) {
		return field.Forbidden(field.NewPath("anonymous"), "changed from initial configuration file")
	}
	next, err := j.open(ctx, config)
	if err != nil {
		return err
	}
	last := next.check()
	if err := wait.PollUntilContextTimeout(ctx, askEvery, answerTime, true, func(context.Context) (bool, error) {
		last = next.check()
		return last == nil, nil
	}); err != nil {
		next.close()
		return fmt.Errorf("issuers do not answer: %w", errors.Join(last, err))
	}
	old := j.current.Swap(next)
	if old == nil {
		return nil
	}
	j.ended.Go(func() {
		defer old.close()
		select {
		case <-time.After(mercy):
		case <-ctx.Done():
		}
	})
	return nil
}
