//go:build !nocluster

package assemble

import (
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"

	"dhow/apiserver/authn"
	"dhow/apiserver/authz"
	"dhow/apiserver/authz/nodes"
	"dhow/apiserver/token"
	"dhow/kinds/rbac"
)

// Access is what the administrator chooses of who may come in.
type Access struct {
	// Authentication is how clients say who they are.
	Authentication authn.Options
	// Authorization is who decides what they may do.
	Authorization authz.Options
	// ServiceAccounts are how tokens of service accounts are made and believed.
	ServiceAccounts ServiceAccounts
}

// ServiceAccounts are the options of service accounts' tokens.
type ServiceAccounts struct {
	token.Options
	// SigningKeyFile holds the private key that signs; the cluster's own key if "".
	SigningKeyFile string
	// KeyFiles hold further keys that verify.
	KeyFiles []string
}

// openAccess has the identity use the keys that the administrator has chosen.
func (s *server) openAccess() (err error) {
	c := s.config.ServiceAccounts
	s.identity.ServiceAccountKeys, err = s.identity.ServiceAccountKeys.WithFiles(c.SigningKeyFile, c.KeyFiles)
	return err
}

// nodeAuthorizer allows each node its own.
func nodeAuthorizer(f informers.SharedInformerFactory) (authorizer.Authorizer, error) {
	return nodes.New(f, rbac.NodeAllows())
}
