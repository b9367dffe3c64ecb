package apiserver

import (
	"net/http"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"dhow/apiserver/authn"
	"dhow/apiserver/token"
)

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
	options := s.config.Authentication
	if s.authz.AllowsAll() && options.Anonymous == nil {
		options.Anonymous = new(bool) // else strangers could do everything
	}
	s.authn, err = authn.New(authn.Config{
		Options: options, ClusterCA: s.config.Identity.CA.PEM, FrontProxyCA: s.config.Identity.FrontProxyCA.PEM,
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
