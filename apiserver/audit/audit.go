// Package audit turns what the user says of the audit log (upstream's flags) into the library's backends: a file that is
// rotated, a webhook, and the policy that says what is worth a record.
package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	libraryaudit "k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/options"
)

// Config says what is recorded and where. A nil one records nothing.
type Config struct{ options *options.AuditOptions }

// New has upstream's defaults, which record nothing.
func New() *Config { return &Config{options.NewAuditOptions()} }

// AddFlags are upstream's --audit-… flags.
func (c *Config) AddFlags(flags *pflag.FlagSet) { c.options.AddFlags(flags) }

// Validate names everything that is wrong, by flag, file and field.
func (c *Config) Validate() error {
	o := c.options
	wrong := o.Validate()
	if o.PolicyFile != "" {
		if _, err := policy.LoadPolicyFromFile(o.PolicyFile); err != nil {
			wrong = append(wrong, fmt.Errorf("--audit-policy-file %q: %w", o.PolicyFile, err))
		}
	}
	if file := o.WebhookOptions.ConfigFile; file != "" {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			wrong = append(wrong, fmt.Errorf("--audit-webhook-config-file %q: there is no such file", file))
		}
	}
	return errors.Join(wrong...)
}

// Apply gives the server its policy and backends.
func (c *Config) Apply(server *genericapiserver.Config, log *slog.Logger) error {
	if c == nil {
		return nil
	}
	if err := c.Validate(); err != nil {
		return err
	}
	o := c.options
	if err := unknownFields(o.PolicyFile); err != nil {
		log.Warn("the audit policy has fields that nobody reads", "file", o.PolicyFile, "err", err)
	}
	if o.PolicyFile == "" && (o.LogOptions.Path != "" || o.WebhookOptions.ConfigFile != "") {
		log.Warn("nothing is audited: --audit-policy-file, which says what is to be, is not set")
	}
	if err := o.ApplyTo(server); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// unknownFields tells of what a strict reader of the policy would refuse; upstream's reader passes over it.
func unknownFields(file string) error {
	if file == "" {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	strict := serializer.NewCodecFactory(libraryaudit.Scheme, serializer.EnableStrict).UniversalDecoder()
	_, _, err = strict.Decode(data, nil, &auditinternal.Policy{})
	return err
}
