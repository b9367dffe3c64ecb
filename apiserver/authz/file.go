package authz

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/load"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
	configmetrics "k8s.io/apiserver/pkg/server/options/authorizationconfig/metrics"

	"dhow/internal/follow"
)

// fromFile reads the configuration file.
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

// follow puts later versions of the file in force.
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
