package authn

import (
	"fmt"
	"slices"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	x509request "k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"

	"dhow/apiserver/clientcert"
)

// certificates are authorities whose client certificates name a user and groups.
type certificates struct {
	authorities dynamiccertificates.CAContentProvider
}

func (c certificates) authenticator() authenticator.Request {
	return clientcert.New(x509request.NewDynamic(c.authorities.VerifyOptions, x509request.CommonNameUserConversion))
}

// proxy is one that authenticates users itself and says in headers who they are.
type proxy struct {
	authorities dynamiccertificates.CAContentProvider
	names       []string
	headers     RequestHeader
}

// The cluster's own proxy: the aggregator of an API server.
const ownProxyName = "front-proxy-client"

func (p proxy) authenticator() authenticator.Request {
	list := func(s []string) headerrequest.StringSliceProvider { return headerrequest.StaticStringSlice(s) }
	h := p.headers
	return headerrequest.NewDynamicVerifyOptionsSecure(p.authorities.VerifyOptions, list(p.names),
		list(h.UsernameHeaders), list(h.UIDHeaders), list(h.GroupHeaders), list(h.ExtraPrefixes))
}

// openCertificates reads the authorities. Those of files are followed by the server that serves with them.
func (a *Authentication) openCertificates() error {
	own, err := dynamiccertificates.NewStaticCAContent("client-ca", a.config.ClusterCA)
	if err != nil {
		return err
	}
	a.clients = []certificates{{own}}
	if file := a.config.ClientCAFile; file != "" {
		more, err := dynamiccertificates.NewDynamicCAContentFromFile("client-ca-bundle", file)
		if err != nil {
			return fmt.Errorf("--client-ca-file: %w", err)
		}
		a.clients = append(a.clients, certificates{more})
	}
	front, err := dynamiccertificates.NewStaticCAContent("front-proxy-ca", a.config.FrontProxyCA)
	if err != nil {
		return err
	}
	headers := RequestHeader{
		UsernameHeaders: []string{"X-Remote-User"}, UIDHeaders: []string{"X-Remote-Uid"},
		GroupHeaders: []string{"X-Remote-Group"}, ExtraPrefixes: []string{"X-Remote-Extra-"},
	}
	a.proxies = []proxy{{front, []string{ownProxyName}, headers}}
	if file := a.config.RequestHeader.CAFile; file != "" {
		more, err := dynamiccertificates.NewDynamicCAContentFromFile("request-header", file)
		if err != nil {
			return fmt.Errorf("--requestheader-client-ca-file: %w", err)
		}
		a.proxies = append(a.proxies, proxy{more, a.config.RequestHeader.AllowedNames, a.config.RequestHeader.or(headers)})
	}
	return nil
}

// or fills what is empty.
func (r RequestHeader) or(d RequestHeader) RequestHeader {
	for _, f := range []struct{ to, from *[]string }{
		{&r.UsernameHeaders, &d.UsernameHeaders}, {&r.UIDHeaders, &d.UIDHeaders},
		{&r.GroupHeaders, &d.GroupHeaders}, {&r.ExtraPrefixes, &d.ExtraPrefixes},
	} {
		if len(*f.to) == 0 {
			*f.to = *f.from
		}
	}
	return r
}

// ClientCA is every authority whose certificate a client may show: a TLS server names them to clients.
func (a *Authentication) ClientCA() dynamiccertificates.CAContentProvider {
	var all []dynamiccertificates.CAContentProvider
	for _, c := range a.clients {
		all = append(all, c.authorities)
	}
	for _, p := range a.proxies {
		all = append(all, p.authorities)
	}
	return dynamiccertificates.NewUnionCAContentProvider(all...)
}

// Trust is what other API servers need to know to believe this one and the cluster's clients.
type Trust struct {
	ClientCA, RequestHeaderCA []byte
	// AllowedNames of proxies' certificates; empty for any.
	AllowedNames, UsernameHeaders, UIDHeaders, GroupHeaders, ExtraPrefixes []string
}

// Trust returns what holds now.
func (a *Authentication) Trust() Trust {
	var t Trust
	for _, c := range a.clients {
		t.ClientCA = append(t.ClientCA, c.authorities.CurrentCABundleContent()...)
	}
	for _, p := range a.proxies {
		t.RequestHeaderCA = append(t.RequestHeaderCA, p.authorities.CurrentCABundleContent()...)
		join(&t.AllowedNames, p.names)
		join(&t.UsernameHeaders, p.headers.UsernameHeaders)
		join(&t.UIDHeaders, p.headers.UIDHeaders)
		join(&t.GroupHeaders, p.headers.GroupHeaders)
		join(&t.ExtraPrefixes, p.headers.ExtraPrefixes)
	}
	if slices.ContainsFunc(a.proxies, func(p proxy) bool { return len(p.names) == 0 }) {
		t.AllowedNames = []string{}
	}
	return t
}

func join(to *[]string, more []string) {
	for _, s := range more {
		if !slices.Contains(*to, s) {
			*to = append(*to, s)
		}
	}
}

// RequestHeader are the headers that no client may send: they are taken off every request once its user is known.
func (a *Authentication) RequestHeader() *authenticatorfactory.RequestHeaderConfig {
	t := a.Trust()
	list := func(s []string) headerrequest.StringSliceProvider { return headerrequest.StaticStringSlice(s) }
	return &authenticatorfactory.RequestHeaderConfig{
		UsernameHeaders: list(t.UsernameHeaders), UIDHeaders: list(t.UIDHeaders), GroupHeaders: list(t.GroupHeaders),
		ExtraHeaderPrefixes: list(t.ExtraPrefixes), AllowedClientNames: list(t.AllowedNames),
		CAContentProvider: a.proxies[0].authorities,
	}
}
