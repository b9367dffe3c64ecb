package authn

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/request/websocket"
	tokencache "k8s.io/apiserver/pkg/authentication/token/cache"
	tokenunion "k8s.io/apiserver/pkg/authentication/token/union"
	corelisters "k8s.io/client-go/listers/core/v1"

	"dhow/internal/follow"
)

// Config of an Authentication.
type Config struct {
	Options
	// ClusterCA signs the certificates of components and administrators, FrontProxyCA that of the aggregator (PEM).
	ClusterCA, FrontProxyCA []byte
	// First are asked before all others.
	First []authenticator.Request
	// Tokens are asked before all other authenticators of tokens: service accounts'.
	Tokens authenticator.Token
	// More are asked last.
	More []authenticator.Request
	// Issuers are those of service accounts, which no other may call itself.
	Issuers []string
	// Audiences are the API server's: what tokens are for that do not say for whom.
	Audiences authenticator.Audiences
	// Secrets hold bootstrap tokens.
	Secrets corelisters.SecretLister
	// ServerID tells servers apart in metrics.
	ServerID string
	Log      *slog.Logger
}

// How long an answer about a token is believed, as upstream has it. Refusals are not kept.
const tokenTTL = 10 * time.Second

// Authentication is everything that finds out who makes a request.
type Authentication struct {
	config   Config
	request  authenticator.Request
	reviews  authenticator.Request
	clients  []certificates
	proxies  []proxy
	jwt      *jwt // nil without a configuration file and flags of an issuer
	followed []*follow.File
}

// New reads all files. What it returns follows them once it runs.
func New(c Config) (*Authentication, error) {
	if err := c.check(c.ClusterCA); err != nil {
		return nil, err
	}
	a := &Authentication{config: c}
	if err := a.openCertificates(); err != nil {
		return nil, err
	}
	tokens, err := a.tokens()
	if err != nil {
		return nil, err
	}
	chain := append([]authenticator.Request{}, c.First...)
	for _, p := range a.proxies {
		chain = append(chain, authenticator.WrapAudienceAgnosticRequest(c.Audiences, p.authenticator()))
	}
	for _, cert := range a.clients {
		chain = append(chain, cert.authenticator())
	}
	chain = append(chain, bearertoken.New(tokens), websocket.NewProtocolAuthenticator(tokens))
	chain = append(chain, c.More...)
	a.request = group.NewAuthenticatedGroupAdder(union.New(chain...))
	a.reviews = group.NewAuthenticatedGroupAdder(union.New(append([]authenticator.Request{bearertoken.New(tokens)}, c.More...)...))
	if who := a.anonymous(); who.Enabled {
		a.request = union.NewFailOnError(a.request, anonymous.NewAuthenticator(who.Conditions)) // who says wrongly who they are is not nobody
	}
	return a, nil
}

// anonymous says who may stay unknown: the configuration file, else the flag, else everybody.
func (a *Authentication) anonymous() apiserver.AnonymousAuthConfig {
	if a.jwt != nil && a.jwt.config.Anonymous != nil {
		return *a.jwt.config.Anonymous
	}
	return apiserver.AnonymousAuthConfig{Enabled: a.config.Anonymous == nil || *a.config.Anonymous}
}

// tokens asks in turn, those first that need to ask nobody else.
func (a *Authentication) tokens() (authenticator.Token, error) {
	c := a.config
	var all []authenticator.Token
	anyAudience := func(t authenticator.Token) {
		all = append(all, authenticator.WrapAudienceAgnosticToken(c.Audiences, t))
	}
	if c.TokenFile != "" {
		file, err := a.openTokenFile()
		if err != nil {
			return nil, err
		}
		anyAudience(file)
	}
	if c.Tokens != nil {
		all = append(all, c.Tokens)
	}
	if !c.NoBootstrapTokens && c.Secrets != nil {
		anyAudience(bootstrap{c.Secrets})
	}
	if err := a.openJWT(); err != nil {
		return nil, err
	}
	if a.jwt != nil {
		anyAudience(a.jwt)
	}
	if c.Webhook.ConfigFile != "" {
		remote, err := openWebhook(c.Webhook, c.Audiences)
		if err != nil {
			return nil, err
		}
		all = append(all, remote)
	}
	return tokencache.New(tokenunion.New(all...), true, tokenTTL, 0), nil
}

// openJWT believes the issuers of the configuration file, or the one of flags.
func (a *Authentication) openJWT() error {
	switch {
	case a.config.ConfigFile != "":
		return a.openConfig()
	case a.config.OIDC.given():
		return a.openOIDC()
	}
	return nil
}

// Request finds out who makes a request.
func (a *Authentication) Request() authenticator.Request { return a.request }

// Reviews finds out whose a bearer token is, for those who ask about others.
func (a *Authentication) Reviews() authenticator.Request { return a.reviews }

// Run follows the files until ctx ends.
func (a *Authentication) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	if a.jwt != nil {
		a.jwt.start(ctx)
		defer a.jwt.stop()
	}
	for _, f := range a.followed {
		running.Go(func() { f.Run(ctx) })
	}
	<-ctx.Done()
}
