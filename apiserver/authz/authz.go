// Package authz asks the authorizers that an administrator has chosen, in the order chosen: the server's own (Node,
// RBAC) and webhooks. Who somebody is, is known by then.
package authz

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"

	"dhow/internal/follow"
)

// Config of an Authorization.
type Config struct {
	Options
	// First are asked before all others, and cannot be turned off.
	First []Named
	// Own are the server's own authorizers by type.
	Own map[string]authorizer.Authorizer
	// ServerID tells servers apart in metrics.
	ServerID string
	Log      *slog.Logger
}

// Named is an authorizer and its name in reasons.
type Named struct {
	Name       string
	Authorizer authorizer.Authorizer
}

// Authorization is the whole of a server's authorizers.
type Authorization struct {
	config   Config
	compiler authorizationcel.Compiler
	first    *apiserver.AuthorizationConfiguration
	current  atomic.Pointer[chain]
	file     *follow.File // nil without a configuration file
}

var (
	_ authorizer.Authorizer   = &Authorization{}
	_ authorizer.RuleResolver = &Authorization{}
)

// New reads the configuration. What it returns follows it once it runs.
func New(c Config) (*Authorization, error) {
	a := &Authorization{config: c}
	var data []byte
	var err error
	if c.ConfigFile == "" {
		a.first, err = a.fromModes()
	} else {
		data, a.first, err = a.fromFile()
	}
	if err != nil {
		return nil, err
	}
	now, err := a.build(a.first)
	if err != nil {
		return nil, err
	}
	a.current.Store(now)
	if c.ConfigFile != "" {
		a.follow(data)
	}
	return a, nil
}

// Run follows the configuration file until ctx ends.
func (a *Authorization) Run(ctx context.Context) {
	if a.file != nil {
		a.file.Run(ctx)
	}
}

// AllowsAll says whether everybody may do everything, so that nobody must be anonymous.
func (a *Authorization) AllowsAll() bool {
	return slices.ContainsFunc(a.first.Authorizers, func(c apiserver.AuthorizerConfiguration) bool { return string(c.Type) == AlwaysAllow })
}

// Authorize implements authorizer.Authorizer.
func (a *Authorization) Authorize(ctx context.Context, request authorizer.Attributes) (authorizer.Decision, string, error) {
	return a.current.Load().all.Authorize(ctx, request)
}

// ConditionsAwareAuthorize implements authorizer.Authorizer.
func (a *Authorization) ConditionsAwareAuthorize(ctx context.Context, request authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return a.current.Load().all.ConditionsAwareAuthorize(ctx, request)
}

// EvaluateConditions implements authorizer.Authorizer.
func (a *Authorization) EvaluateConditions(ctx context.Context, d authorizer.ConditionsAwareDecision, data authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return a.current.Load().all.EvaluateConditions(ctx, d, data)
}

// RulesFor implements authorizer.RuleResolver.
func (a *Authorization) RulesFor(ctx context.Context, u user.Info, namespace string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	return a.current.Load().rules.RulesFor(ctx, u, namespace)
}
