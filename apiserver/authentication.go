package apiserver

import (
	"net/http"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"dhow/apiserver/authn"
	"dhow/apiserver/token"
)

// openPaths are what anybody may ask, also where nobody may be anonymous otherwise by roles.
var openPaths = []string{"/healthz", "/livez", "/readyz", "/version"}

// authentication finds out who asks: this process itself, or whom the administrator's choices let in.
func (s *Server) authentication(c *genericapiserver.Config) error {
	accounts := s.config.ServiceAccounts.Complete()
	if err := accounts.Check(); err != nil {
		return err
	}
	client, err := s.Client(apiserverUser, mastersGroup)
	if err != nil {
		return err
	}
	s.authn, err = authn.New(authn.Config{
		Options: s.config.Authentication, ClusterCA: s.config.Identity.CA.PEM, FrontProxyCA: s.config.Identity.FrontProxyCA.PEM,
		First: []authenticator.Request{inProcess{}}, More: s.config.Authenticators,
		Tokens: token.NewAuthenticator(token.Config{
			Keys: s.config.Identity.ServiceAccountKeys, Options: accounts, Informers: s.informers, Client: client,
		}),
		Issuers: accounts.Issuers, Audiences: accounts.Audiences, Secrets: s.informers.Core().V1().Secrets().Lister(),
		ServerID: c.APIServerID, Log: s.config.Log,
	})
	if err != nil {
		return err
	}
	c.Authentication.APIAudiences = accounts.Audiences
	c.Authentication.Authenticator = s.authn.Request()
	c.Authentication.RequestHeaderConfig = s.authn.RequestHeader()
	s.reviews.Tokens = s.authn.Reviews()
	s.reviews.Audiences = accounts.Audiences
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
