package apiserver

import (
	"crypto/x509"
	"net/http"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/request/websocket"
	x509request "k8s.io/apiserver/pkg/authentication/request/x509"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"dhow/apiserver/token"
)

// openPaths are what anybody may ask, without saying who they are.
var openPaths = []string{"/healthz", "/livez", "/readyz", "/version"}

// authentication finds out who asks: this process itself, the holder of a client certificate of the cluster's
// authority, or of a service account's token. Nobody else gets further than openPaths.
func (s *Server) authentication(c *genericapiserver.Config) error {
	roots := x509.NewCertPool()
	roots.AddCert(s.config.Identity.CA.Cert)
	options := x509request.DefaultVerifyOptions()
	options.Roots = roots
	tokens := token.NewAuthenticator(&s.config.Identity.ServiceAccountKey.PublicKey, s.informers)
	bearer := append([]authenticator.Request{bearertoken.New(tokens)}, s.config.Authenticators...)
	known := []authenticator.Request{
		inProcess{},
		x509request.New(options, x509request.CommonNameUserConversion),
		websocket.NewProtocolAuthenticator(tokens),
	}
	known = append(known, bearer...)
	var conditions []apiserver.AnonymousAuthCondition
	for _, path := range openPaths {
		conditions = append(conditions, apiserver.AnonymousAuthCondition{Path: path})
	}
	c.Authentication.APIAudiences = authenticator.Audiences{token.Issuer}
	c.Authentication.Authenticator = union.NewFailOnError( // who says wrongly who they are is not nobody
		group.NewAuthenticatedGroupAdder(union.New(known...)),
		anonymous.NewAuthenticator(conditions),
	)
	s.reviews.Tokens = group.NewAuthenticatedGroupAdder(union.New(bearer...))
	s.reviews.Audiences = c.Authentication.APIAudiences
	return nil
}

// inProcess believes what transport says of a request: a context cannot come from outside.
type inProcess struct{}

func (inProcess) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	u, ok := userOf(r.Context())
	if !ok {
		return nil, false, nil
	}
	return &authenticator.Response{User: u}, true, nil
}
