package apiserver

import (
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/path"
	authorizerunion "k8s.io/apiserver/pkg/authorization/union"
)

// authorizer asks in turn: is it a path for everyone, is it an administrator, does the cluster's policy allow it?
func (s *Server) authorizer() (authorizer.Authorizer, error) {
	open, err := path.NewAuthorizer(openPaths)
	if err != nil {
		return nil, err
	}
	chain := []authorizerunion.NamedAuthorizer{
		{AuthorizerName: "open-paths", Authorizer: open},
		{AuthorizerName: "masters", Authorizer: authorizerfactory.NewPrivilegedGroups(mastersGroup)},
	}
	if s.config.Authorizer != nil {
		policy, err := s.config.Authorizer(s.informers)
		if err != nil {
			return nil, err
		}
		chain = append(chain, authorizerunion.NamedAuthorizer{AuthorizerName: "policy", Authorizer: policy})
	}
	s.reviews.Rules = rulesOf(chain)
	all, err := authorizerunion.New(chain...)
	s.reviews.Authorizer = all
	return all, err
}

// rulesOf lists the rules of those authorizers that can tell them.
func rulesOf(chain []authorizerunion.NamedAuthorizer) authorizer.RuleResolver {
	var resolvers []authorizer.RuleResolver
	for _, a := range chain {
		if r, ok := a.Authorizer.(authorizer.RuleResolver); ok {
			resolvers = append(resolvers, r)
		}
	}
	return authorizerunion.NewRuleResolvers(resolvers...)
}
