package authn

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	tokencache "k8s.io/apiserver/pkg/authentication/token/cache"
	"k8s.io/apiserver/pkg/authentication/token/tokenfile"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/webhook"

	"dhow/internal/follow"
)

// openTokenFile reads the list of tokens, and follows it.
func (a *Authentication) openTokenFile() (authenticator.Token, error) {
	path := a.config.TokenFile
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--token-auth-file: %w", err)
	}
	first, err := tokenfile.NewCSV(path)
	if err != nil {
		return nil, fmt.Errorf("--token-auth-file %s: %w", path, err)
	}
	var current atomic.Pointer[tokenfile.TokenAuthenticator]
	current.Store(first)
	a.followed = append(a.followed, &follow.File{Path: path, Data: data, Log: a.config.Log,
		Apply: func(context.Context, []byte) error {
			next, err := tokenfile.NewCSV(path)
			if err == nil {
				current.Store(next)
			}
			return err
		}})
	return authenticator.TokenFunc(func(ctx context.Context, text string) (*authenticator.Response, bool, error) {
		return current.Load().AuthenticateToken(ctx, text)
	}), nil
}

// webhookTTL is how long a webhook's answers are kept.
const webhookTTL = 2 * time.Minute

func openWebhook(w Webhook, audiences authenticator.Audiences) (authenticator.Token, error) {
	tries := wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 5} // upstream's
	wrong := func(err error) error {
		return fmt.Errorf("--authentication-token-webhook-config-file %s: %w", w.ConfigFile, err)
	}
	config, err := webhookutil.LoadKubeconfig(w.ConfigFile, nil)
	if err != nil {
		return nil, wrong(err)
	}
	version, ttl := w.Version, webhookTTL
	if version == "" {
		version = "v1beta1" // upstream's default, which webhooks rely on
	}
	if w.CacheTTL != nil {
		ttl = *w.CacheTTL
	}
	remote, err := webhook.New(config, version, audiences, tries)
	if err != nil {
		return nil, wrong(err)
	}
	return tokencache.New(remote, false, ttl, ttl), nil
}
