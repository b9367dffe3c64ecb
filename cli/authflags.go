//go:build !nocluster

package cli

import (
	"time"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"

	"dhow/apiserver/authn"
	"dhow/assemble"
)

// accessFlags are the flags of who may come in, under upstream's names.
type accessFlags struct {
	assemble.Access
	anonymous, bootstrap, extend bool
	webhookTTL                   time.Duration
	allowedTTL, refusedTTL       time.Duration
}

func (f *accessFlags) register(flags *pflag.FlagSet) {
	a, s := &f.Authentication, &f.ServiceAccounts
	flags.StringVar(&a.ClientCAFile, "client-ca-file", "", "authorities whose client certificates are believed besides the cluster's own; followed")
	flags.StringVar(&a.TokenFile, "token-auth-file", "", "list of tokens and users (CSV); followed")
	flags.StringVar(&a.ConfigFile, "authentication-config", "", "AuthenticationConfiguration: OpenID Connect issuers, anonymous paths; followed")
	registerOIDC(flags, &a.OIDC)
	flags.BoolVar(&f.anonymous, "anonymous-auth", true, "let requests without credentials in as system:anonymous; roles decide what it may")
	flags.BoolVar(&f.bootstrap, "enable-bootstrap-token-auth", true, "let machines in by bootstrap tokens (dhow token)")
	flags.StringVar(&a.Webhook.ConfigFile, "authentication-token-webhook-config-file", "", "kubeconfig of a service that knows tokens")
	flags.StringVar(&a.Webhook.Version, "authentication-token-webhook-version", "v1beta1", "version of the TokenReview that it is sent")
	flags.DurationVar(&f.webhookTTL, "authentication-token-webhook-cache-ttl", 2*time.Minute, "how long its answers are kept")

	r := &a.RequestHeader
	flags.StringVar(&r.CAFile, "requestheader-client-ca-file", "", "authorities of an authenticating proxy's certificate; followed")
	flags.StringSliceVar(&r.AllowedNames, "requestheader-allowed-names", nil, "common names of such certificates (default: any)")
	flags.StringSliceVar(&r.UsernameHeaders, "requestheader-username-headers", nil, "headers with the user's name (default: X-Remote-User)")
	flags.StringSliceVar(&r.UIDHeaders, "requestheader-uid-headers", nil, "headers with the user's UID (default: X-Remote-Uid)")
	flags.StringSliceVar(&r.GroupHeaders, "requestheader-group-headers", nil, "headers with the user's groups (default: X-Remote-Group)")
	flags.StringSliceVar(&r.ExtraPrefixes, "requestheader-extra-headers-prefix", nil, "prefixes of headers with more of the user (default: X-Remote-Extra-)")

	z := &f.Authorization
	flags.StringSliceVar(&z.Modes, "authorization-mode", nil, "authorizers in the order they are asked: Node, RBAC, Webhook, AlwaysAllow, AlwaysDeny (default: Node,RBAC)")
	flags.StringVar(&z.ConfigFile, "authorization-config", "", "AuthorizationConfiguration in place of the modes; followed")
	flags.StringVar(&z.Webhook.ConfigFile, "authorization-webhook-config-file", "", "kubeconfig of the service that the mode Webhook asks")
	flags.StringVar(&z.Webhook.Version, "authorization-webhook-version", "", "version of the SubjectAccessReview that it is sent (default: v1beta1)")
	flags.DurationVar(&f.allowedTTL, "authorization-webhook-cache-authorized-ttl", 5*time.Minute, "how long it is believed that something is allowed")
	flags.DurationVar(&f.refusedTTL, "authorization-webhook-cache-unauthorized-ttl", 30*time.Second, "how long it is believed that something is not")

	flags.StringArrayVar(&s.Issuers, "service-account-issuer", nil, "issuer of service accounts' tokens; given again, further ones are believed (default: https://kubernetes.default.svc.cluster.local)")
	flags.StringSliceVar(&s.Audiences, "api-audiences", nil, "audiences of tokens for the API server (default: the issuers)")
	flags.StringVar(&s.JWKSURI, "service-account-jwks-uri", "", "where others find the keys of service accounts' tokens (default: at this server)")
	flags.StringVar(&s.SigningKeyFile, "service-account-signing-key-file", "", "private key that signs service accounts' tokens (default: the cluster's own; see 'dhow keys'); followed")
	flags.StringArrayVar(&s.KeyFiles, "service-account-key-file", nil, "further keys, public or private, that verify such tokens; followed")
	flags.DurationVar(&s.MaxExpiration, "service-account-max-token-expiration", 0, "longest life of a token that is asked for (default: no limit)")
	flags.BoolVar(&f.extend, "service-account-extend-token-expiration", true, "let the tokens that every pod gets live for a year, for clients that read them once")
}

// registerOIDC adds the flags of one OpenID Connect issuer.
func registerOIDC(flags *pflag.FlagSet, o *authn.OIDC) {
	flags.StringVar(&o.IssuerURL, "oidc-issuer-url", "", "OpenID Connect issuer whose tokens are believed (https); not together with --authentication-config")
	flags.StringVar(&o.ClientID, "oidc-client-id", "", "audience of its tokens")
	flags.StringVar(&o.CAFile, "oidc-ca-file", "", "authorities of the issuer's certificate (default: those of this machine)")
	flags.StringVar(&o.UsernameClaim, "oidc-username-claim", "", "claim with the user's name (default: sub)")
	flags.StringVar(&o.UsernamePrefix, "oidc-username-prefix", "", "prefix of users' names, - for none (default: the issuer's URL and #, or none with the claim email)")
	flags.StringVar(&o.GroupsClaim, "oidc-groups-claim", "", "claim with the user's groups")
	flags.StringVar(&o.GroupsPrefix, "oidc-groups-prefix", "", "prefix of groups' names")
	flags.StringSliceVar(&o.SigningAlgorithms, "oidc-signing-algs", nil, "algorithms by which tokens may be signed (default: RS256)")
	flags.Var(cliflag.NewMapStringStringNoSplit(&o.RequiredClaims), "oidc-required-claim", "claim=value that a token must have; given again, further ones")
}

// access is what assemble is told of them.
func (f *accessFlags) access(flags *pflag.FlagSet) assemble.Access {
	a := f.Access
	if flags.Changed("anonymous-auth") {
		a.Authentication.Anonymous = &f.anonymous
	}
	a.Authentication.NoBootstrapTokens = !f.bootstrap
	a.Authentication.Webhook.CacheTTL = &f.webhookTTL
	a.ServiceAccounts.NoExtension = !f.extend
	if flags.Changed("authorization-webhook-cache-authorized-ttl") {
		a.Authorization.Webhook.AllowedTTL = &f.allowedTTL
	}
	if flags.Changed("authorization-webhook-cache-unauthorized-ttl") {
		a.Authorization.Webhook.RefusedTTL = &f.refusedTTL
	}
	return a
}
