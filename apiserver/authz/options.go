package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/apis/apiserver"
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
