package authz

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
	authorizationmetrics "k8s.io/apiserver/pkg/authorization/metrics"
	"k8s.io/apiserver/pkg/authorization/union"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/apiserver/plugin/pkg/authorizer/webhook"
	webhookmetrics "k8s.io/apiserver/plugin/pkg/authorizer/webhook/metrics"
)

// chain is one configuration in force.
type chain struct {
	all   authorizer.Authorizer
	rules authorizer.RuleResolver
}

// build makes the authorizers of a configuration. Types that the server itself provides must have been there from the
// start; webhooks come and go.
func (a *Authorization) build(config *apiserver.AuthorizationConfiguration) (*chain, error) {
	var links []union.NamedAuthorizer
	var resolvers []authorizer.RuleResolver
	add := func(name string, one authorizer.Authorizer) {
		links = append(links, union.NamedAuthorizer{AuthorizerName: name, Authorizer: one})
	}
	for _, first := range a.config.First {
		add(first.Name, first.Authorizer)
	}
	for i := range config.Authorizers {
		c := &config.Authorizers[i]
		one, err := a.authorizer(c)
		if err != nil {
			return nil, fmt.Errorf("authorizer %s: %w", c.Name, err)
		}
		add(c.Name, authorizationmetrics.InstrumentedAuthorizer(string(c.Type), c.Name, one))
		if r, ok := one.(authorizer.RuleResolver); ok {
			resolvers = append(resolvers, r)
		}
	}
	all, err := union.New(links...)
	return &chain{all, union.NewRuleResolvers(resolvers...)}, err
}

func (a *Authorization) authorizer(c *apiserver.AuthorizerConfiguration) (authorizer.Authorizer, error) {
	switch string(c.Type) {
	case AlwaysAllow:
		return authorizerfactory.NewAlwaysAllowAuthorizer(), nil
	case AlwaysDeny:
		return authorizerfactory.NewAlwaysDenyAuthorizer(), nil
	case Webhook:
		return a.webhook(c.Name, c.Webhook)
	}
	if own := a.config.Own[string(c.Type)]; own != nil {
		return own, nil
	}
	return nil, fmt.Errorf("this server has no authorizer of type %s", c.Type)
}

// webhookMetrics are those that upstream's server shows.
type webhookMetrics struct {
	webhookmetrics.NoopRequestMetrics
	webhookmetrics.WebhookMetrics
	authorizationcel.MatcherMetrics
}

func (a *Authorization) webhook(name string, w *apiserver.WebhookConfiguration) (authorizer.Authorizer, error) {
	if w == nil || w.ConnectionInfo.KubeConfigFile == nil {
		return nil, fmt.Errorf("connectionInfo names no kubeconfig: only type %s reaches a webhook from this server",
			apiserver.AuthorizationWebhookConnectionInfoTypeKubeConfigFile)
	}
	client, err := webhookutil.LoadKubeconfig(*w.ConnectionInfo.KubeConfigFile, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", *w.ConnectionInfo.KubeConfigFile, err)
	}
	if w.Timeout.Duration != 0 {
		client.Timeout = w.Timeout.Duration
	}
	onError := authorizer.DecisionNoOpinion
	if w.FailurePolicy == apiserver.FailurePolicyDeny {
		onError = authorizer.DecisionDeny
	}
	allowed, refused := w.AuthorizedTTL.Duration, w.UnauthorizedTTL.Duration
	if !w.CacheAuthorizedRequests {
		allowed = 0
	}
	if !w.CacheUnauthorizedRequests {
		refused = 0
	}
	if a.compiler == nil {
		a.compiler = authorizationcel.NewDefaultCompiler()
	}
	tries := wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 5} // upstream's
	return webhook.New(client, w.SubjectAccessReviewVersion, allowed, refused, tries, onError, w.MatchConditions, name,
		webhookMetrics{WebhookMetrics: webhookmetrics.NewWebhookMetrics(), MatcherMetrics: authorizationcel.NewMatcherMetrics()}, a.compiler)
}
