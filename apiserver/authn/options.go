// Package authn finds out who makes a request: by client certificates, tokens of service accounts, of files, of
// bootstrapping nodes, of OpenID Connect issuers and of a webhook, and by the word of an authenticating proxy. What a
// user may do is not its business.
package authn

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	certutil "k8s.io/client-go/util/cert"
)

// Options are what an administrator chooses, by upstream's flags. The zero value believes client certificates of the
// cluster's authority, service accounts, bootstrap tokens and the cluster's own front proxy, and lets anybody in as
// system:anonymous.
type Options struct {
	// ClientCAFile holds authorities whose client certificates are believed besides the cluster's own.
	ClientCAFile string
	// TokenFile is a list of tokens and users (CSV).
	TokenFile string
	// ConfigFile is an AuthenticationConfiguration: OpenID Connect issuers, and who may be anonymous.
	ConfigFile string
	// OIDC is an OpenID Connect issuer; not together with ConfigFile.
	OIDC OIDC
	// Anonymous says whether requests without credentials are let in as system:anonymous; true if nil.
	Anonymous *bool
	// NoBootstrapTokens turns secrets of type bootstrap.kubernetes.io/token off.
	NoBootstrapTokens bool
	Webhook           Webhook
	RequestHeader     RequestHeader
}

// Webhook is a service that knows tokens.
type Webhook struct {
	// ConfigFile is a kubeconfig that names it, "" for none.
	ConfigFile string
	// Version of the TokenReview that it is sent: v1beta1 if "", or v1.
	Version string
	// CacheTTL is how long its answers are kept, two minutes if nil.
	CacheTTL *time.Duration
}

// RequestHeader is a proxy that names users in headers. The cluster's own is always believed.
type RequestHeader struct {
	// CAFile holds the authorities of the proxy's client certificate, "" for no proxy.
	CAFile string
	// AllowedNames are the common names of such certificates; empty for any.
	AllowedNames []string
	// The headers; the ones of Kubernetes (X-Remote-User …) if empty.
	UsernameHeaders, UIDHeaders, GroupHeaders, ExtraPrefixes []string
}

// check says what is wrong with the options by themselves.
func (o *Options) check(clusterCA []byte) error {
	r := &o.RequestHeader
	var all []error
	for _, f := range []struct {
		flag   string
		values []string
	}{
		{"requestheader-username-headers", r.UsernameHeaders}, {"requestheader-uid-headers", r.UIDHeaders},
		{"requestheader-group-headers", r.GroupHeaders}, {"requestheader-extra-headers-prefix", r.ExtraPrefixes},
		{"requestheader-allowed-names", r.AllowedNames},
	} {
		if slices.ContainsFunc(f.values, func(v string) bool { return strings.TrimSpace(v) == "" }) {
			all = append(all, fmt.Errorf("--%s: empty value", f.flag))
		}
	}
	switch o.Webhook.Version {
	case "", "v1", "v1beta1":
	default:
		all = append(all, fmt.Errorf("--authentication-token-webhook-version %q: v1 or v1beta1", o.Webhook.Version))
	}
	all = append(all, o.OIDC.check(o.ConfigFile))
	if r.CAFile != "" && len(r.AllowedNames) == 0 {
		all = append(all, o.checkOverlap(clusterCA))
	}
	return errors.Join(all...)
}

// checkOverlap refuses a proxy's authority that makes ordinary clients' certificates too: each of them could claim to be
// anybody.
func (o *Options) checkOverlap(clusterCA []byte) error {
	proxies, err := certutil.CertsFromFile(o.RequestHeader.CAFile)
	if err != nil {
		return fmt.Errorf("--requestheader-client-ca-file: %w", err)
	}
	clients, err := certutil.ParseCertsPEM(clusterCA)
	if err != nil {
		return err
	}
	if o.ClientCAFile != "" {
		more, err := certutil.CertsFromFile(o.ClientCAFile)
		if err != nil {
			return fmt.Errorf("--client-ca-file: %w", err)
		}
		clients = append(clients, more...)
	}
	if slices.ContainsFunc(proxies, func(p *x509.Certificate) bool { return slices.ContainsFunc(clients, p.Equal) }) {
		return errors.New("--requestheader-client-ca-file and --client-ca-file contain overlapping certificates; --requestheader-allowed-names must be specified to ensure regular client certificates cannot set authenticating proxy headers for arbitrary users")
	}
	return nil
}
