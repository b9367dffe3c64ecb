//go:build !nocluster

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"dhow/apiserver/encryption"
)

func newSecretsEncryptCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets-encrypt",
		Short: "Show and change how Secrets are encrypted on disk",
		Long: `Show and change how a running server encrypts Secrets on disk. It does so from its first start on, with a key of its
own in /var/lib/dhow/encryption: keep a copy of that folder with each copy of etcd.`,
		Args: cobra.NoArgs,
	}
	var output string
	status := &cobra.Command{
		Use: "status", Short: "Show whether Secrets are encrypted, and by which keys", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("--output %q: must be text or json", output)}
			}
			s, err := askEncryption(cmd.Context(), env, "")
			if err != nil {
				return err
			}
			return printEncryption(env.Stdout, s, output)
		},
	}
	status.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	cmd.AddCommand(status)
	for _, action := range []struct{ name, short, done string }{
		{"enable", "Encrypt Secrets that are written from now on", "Secrets are encrypted when they are written; 'dhow secrets-encrypt reencrypt' writes all."},
		{"disable", "Do not encrypt Secrets that are written from now on", "Secrets are no longer encrypted when they are written; 'dhow secrets-encrypt reencrypt' writes all."},
		{"rotate-keys", "Encrypt all Secrets with a new key and forget the old ones", "keys rotated, reencryption finished"},
		{"reencrypt", "Write all Secrets as they would be written now", "reencryption finished"},
	} {
		cmd.AddCommand(&cobra.Command{
			Use: action.name, Short: action.short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				if err := changeEncryption(cmd.Context(), env, action.name); err != nil {
					return err
				}
				_, err := fmt.Fprintln(env.Stdout, action.done)
				return err
			},
		})
	}
	return cmd
}

// changeEncryption asks for an action and waits until it is done.
func changeEncryption(ctx context.Context, env *environment, action string) error {
	s, err := askEncryption(ctx, env, action)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for err == nil && s.Stage == encryption.StageActive {
		select {
		case <-tick.C:
			s, err = askEncryption(ctx, env, "")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err == nil && s.Error != "" {
		err = errors.New(s.Error)
	}
	return err
}

// askEncryption asks the server for its status, after an action if that is not empty.
func askEncryption(ctx context.Context, env *environment, action string) (s encryption.Status, err error) {
	config, err := clientcmd.BuildConfigFromFlags("", env.kubeconfig())
	if errors.Is(err, fs.ErrNotExist) || os.IsNotExist(err) {
		return s, fmt.Errorf("%s is not there: start 'dhow server' first", env.kubeconfig())
	}
	if err != nil {
		return s, err
	}
	client, err := restclient.HTTPClientFor(config)
	if err != nil {
		return s, err
	}
	method, path := http.MethodGet, encryption.Path
	if action != "" {
		method, path = http.MethodPost, path+"/"+action
	}
	request, err := http.NewRequestWithContext(ctx, method, config.Host+path, nil)
	if err != nil {
		return s, err
	}
	response, err := client.Do(request)
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return s, err
	}
	if response.StatusCode != http.StatusOK {
		return s, errors.New(strings.TrimSpace(string(body)))
	}
	return s, json.Unmarshal(body, &s)
}

// printEncryption shows a status as k3s does.
func printEncryption(out io.Writer, s encryption.Status, format string) error {
	if format == "json" {
		data, err := json.MarshalIndent(s, "", "  ")
		if err == nil {
			_, err = fmt.Fprintln(out, string(data))
		}
		return err
	}
	enabled := map[bool]string{true: "Enabled", false: "Disabled"}[s.Enabled]
	fmt.Fprintf(out, "Encryption Status: %s\nCurrent Rotation Stage: %s\n", enabled, s.Stage)
	if s.File != "" {
		fmt.Fprintf(out, "Encryption Configuration: %s\n", s.File)
	}
	if s.Error != "" {
		fmt.Fprintf(out, "Error: %s\n", s.Error)
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprint(table, "\nActive\tKey Type\tName\n------\t--------\t----\n")
	for _, k := range s.Keys {
		fmt.Fprintf(table, "%s\t%s\t%s\n", map[bool]string{true: " *", false: ""}[k.Active], k.Type, k.Name)
	}
	return table.Flush()
}
