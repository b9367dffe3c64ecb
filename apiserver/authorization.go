package apiserver

import (
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/path"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"

	"dhow/apiserver/authz"
)

// openPaths are what anybody may ask who is let in at all, before there are roles.
var openPaths = []string{"/healthz", "/livez", "/readyz", "/version"}

// authorization asks in turn: is it a path for everyone, is it an administrator, do the authorizers that were chosen
// allow it?
func (s *Server) authorization(c *genericapiserver.Config) error {
	open, err := path.NewAuthorizer(openPaths)
	if err != nil {
		return err
	}
	own := map[string]authorizer.Authorizer{}
	for kind, make := range map[string]func(informers.SharedInformerFactory) (authorizer.Authorizer, error){
		authz.RBAC: s.config.Authorizer, authz.Node: s.config.NodeAuthorizer,
	} {
		if make == nil {
			continue
		}
		if own[kind], err = make(s.informers); err != nil {
			return err
		}
	}
	s.authz, err = authz.New(authz.Config{
		Options: s.config.Authorization, Own: own, ServerID: c.APIServerID, Log: s.config.Log,
		First: []authz.Named{
			{Name: "open-paths", Authorizer: open},
			{Name: "masters", Authorizer: authorizerfactory.NewPrivilegedGroups(mastersGroup)},
		},
	})
	if err != nil {
		return err
	}
	c.Authorization.Authorizer = s.authz
	s.reviews.Authorizer, s.reviews.Rules = s.authz, s.authz
	return nil
}

// Authorizer is all that decides who may do what.
func (s *Server) Authorizer() authorizer.Authorizer { return s.authz }
