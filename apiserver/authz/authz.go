// Package authz asks the authorizers that an administrator has chosen, in the order chosen: the server's own (Node,
// RBAC) and webhooks. Who somebody is, is known by then.
package authz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/load"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
	configmetrics "k8s.io/apiserver/pkg/server/options/authorizationconfig/metrics"

	"dhow/internal/follow"
)

// Types of authorizers, as configurations write them.
const (
	Node        = "Node"
	RBAC        = "RBAC"
	Webhook     = string(apiserver.TypeWebhook)
	AlwaysAllow = "AlwaysAllow"
	AlwaysDeny  = "AlwaysDeny"
)

var types = []string{Node, RBAC, Webhook, AlwaysAllow, AlwaysDeny}

// Options are what an administrator chooses, by upstream's flags. The zero value asks Node, then RBAC.
type Options struct {
	// Modes are types of authorizers in the order they are asked.
	Modes []string
	// ConfigFile is an AuthorizationConfiguration, in place of all else.
	ConfigFile string
	Webhook    WebhookOptions
}

// WebhookOptions are of the mode Webhook.
type WebhookOptions struct {
	// ConfigFile is a kubeconfig that names the service.
	ConfigFile string
	// Version of the SubjectAccessReview that it is sent: v1beta1 if "", or v1.
	Version string
	// AllowedTTL and RefusedTTL are how long its answers are kept, five minutes and thirty seconds if nil.
	AllowedTTL, RefusedTTL *time.Duration
}

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

// fromModes is what the flags mean.
func (a *Authorization) fromModes() (*apiserver.AuthorizationConfiguration, error) {
	o := a.config.Options
	modes := o.Modes
	if len(modes) == 0 {
		for _, own := range []string{Node, RBAC} {
			if a.config.Own[own] != nil {
				modes = append(modes, own)
			}
		}
	}
	if err := o.check(modes); err != nil {
		return nil, err
	}
	config := &apiserver.AuthorizationConfiguration{}
	for _, mode := range modes {
		one := apiserver.AuthorizerConfiguration{Type: apiserver.AuthorizerType(mode), Name: strings.ToLower(mode)}
		if mode == Webhook {
			one.Name, one.Webhook = "default", o.Webhook.configuration()
		}
		config.Authorizers = append(config.Authorizers, one)
	}
	return config, nil
}

func (o Options) check(modes []string) error {
	var all []error
	for i, mode := range modes {
		if !slices.Contains(types, mode) {
			all = append(all, fmt.Errorf("--authorization-mode %q: must be one of %s", mode, strings.Join(types, ", ")))
		}
		if slices.Contains(modes[:i], mode) {
			all = append(all, fmt.Errorf("--authorization-mode %q: given twice", mode))
		}
	}
	if wanted := slices.Contains(modes, Webhook); wanted != (o.Webhook.ConfigFile != "") {
		all = append(all, errors.New("--authorization-mode Webhook and --authorization-webhook-config-file need each other"))
	}
	switch o.Webhook.Version {
	case "", "v1", "v1beta1":
	default:
		all = append(all, fmt.Errorf("--authorization-webhook-version %q: v1 or v1beta1", o.Webhook.Version))
	}
	return errors.Join(all...)
}

// configuration of a webhook as the flags have always meant it.
func (w WebhookOptions) configuration() *apiserver.WebhookConfiguration {
	allowed, refused := 5*time.Minute, 30*time.Second
	if w.AllowedTTL != nil {
		allowed = *w.AllowedTTL
	}
	if w.RefusedTTL != nil {
		refused = *w.RefusedTTL
	}
	version := w.Version
	if version == "" {
		version = "v1beta1"
	}
	return &apiserver.WebhookConfiguration{
		AuthorizedTTL: metav1.Duration{Duration: allowed}, CacheAuthorizedRequests: allowed != 0,
		UnauthorizedTTL: metav1.Duration{Duration: refused}, CacheUnauthorizedRequests: refused != 0,
		Timeout: metav1.Duration{Duration: 30 * time.Second}, FailurePolicy: apiserver.FailurePolicyNoOpinion,
		SubjectAccessReviewVersion: version,
		ConnectionInfo: apiserver.WebhookConnectionInfo{
			Type: apiserver.AuthorizationWebhookConnectionInfoTypeKubeConfigFile, KubeConfigFile: &w.ConfigFile,
		},
	}
}

func (a *Authorization) fromFile() ([]byte, *apiserver.AuthorizationConfiguration, error) {
	o := a.config.Options
	if len(o.Modes) > 0 || o.Webhook != (WebhookOptions{}) {
		return nil, nil, errors.New("--authorization-config cannot be given together with --authorization-mode or --authorization-webhook-*")
	}
	data, err := os.ReadFile(o.ConfigFile)
	if err != nil {
		return nil, nil, fmt.Errorf("--authorization-config: %w", err)
	}
	config, err := a.parse(data)
	if err != nil {
		return nil, nil, fmt.Errorf("--authorization-config %s: %w", o.ConfigFile, err)
	}
	return data, config, nil
}

// parse reads and checks a configuration.
func (a *Authorization) parse(data []byte) (*apiserver.AuthorizationConfiguration, error) {
	if a.compiler == nil {
		a.compiler = authorizationcel.NewDefaultCompiler()
	}
	config, err := load.LoadFromData(data)
	if err != nil {
		return nil, err
	}
	errs := validation.ValidateAuthorizationConfiguration(a.compiler, nil, config, sets.New(types...), sets.New(Webhook))
	if err := errs.ToAggregate(); err != nil {
		return nil, err
	}
	var all []error
	var have []string
	for _, one := range config.Authorizers {
		have = append(have, string(one.Type))
		if want := strings.ToLower(string(one.Type)); string(one.Type) != Webhook && one.Name != want {
			all = append(all, fmt.Errorf("expected name %s for authorizer %s instead of %s", want, one.Type, one.Name))
		}
	}
	if a.first != nil { // a change may add and remove webhooks only
		for _, one := range a.first.Authorizers {
			if string(one.Type) != Webhook && !slices.Contains(have, string(one.Type)) {
				all = append(all, fmt.Errorf("missing required types: [%s]", one.Type))
			}
		}
	}
	return config, errors.Join(all...)
}

func (a *Authorization) follow(data []byte) {
	id, last := a.config.ServerID, a.first
	configmetrics.RegisterMetrics()
	configmetrics.RecordAuthorizationConfigLastConfigInfo(id, string(data))
	a.file = &follow.File{
		Path: a.config.ConfigFile, Data: data, Log: a.config.Log,
		Failed:  func() { configmetrics.RecordAuthorizationConfigAutomaticReloadFailure(id) },
		Applied: func(data []byte) { configmetrics.RecordAuthorizationConfigAutomaticReloadSuccess(id, string(data)) },
		Apply: func(_ context.Context, data []byte) error {
			config, err := a.parse(data)
			if err != nil || reflect.DeepEqual(config, last) {
				return err
			}
			next, err := a.build(config)
			if err == nil {
				last = config
				a.current.Store(next)
			}
			return err
		},
	}
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
