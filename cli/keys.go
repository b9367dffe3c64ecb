//go:build !nocluster

package cli

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"dhow/identity"
)

func newKeysCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Show and rotate the keys that sign service accounts' tokens",
		Long: `Show and rotate the keys that sign service accounts' tokens.

One key signs; those that did before still verify what they have signed, until they are forgotten. A server that runs
takes the change at once, and publishes all keys at /openid/v1/jwks.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	dir := func() string { return env.paths().PKI }
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "List the keys, the one that signs first", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return listKeys(env, dir()) }},
		&cobra.Command{Use: "rotate", Short: "Make a new key that signs from now on", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				id, err := identity.RotateServiceAccountKey(dir())
				if err != nil {
					return noKeys(err)
				}
				fmt.Fprintf(env.Stdout, "key %s signs from now on\n", id)
				return nil
			}},
		&cobra.Command{Use: "forget ID", Short: "Refuse all tokens that a retired key has signed", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				if err := identity.ForgetServiceAccountKey(dir(), args[0]); err != nil {
					return noKeys(err)
				}
				fmt.Fprintf(env.Stdout, "key %s forgotten\n", args[0])
				return nil
			}},
	)
	return cmd
}

func noKeys(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w (the first 'dhow server' makes the keys)", err)
	}
	return err
}

func listKeys(env *environment, dir string) error {
	keys, err := identity.ListServiceAccountKeys(dir)
	if err != nil {
		return noKeys(err)
	}
	w := tabwriter.NewWriter(env.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "ID\tTYPE\tUSE\tRETIRED")
	for i, k := range keys {
		use, retired := "verifies", k.Retired.Format(time.RFC3339)
		if i == 0 {
			use, retired = "signs", "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.ID, keyType(k), use, retired)
	}
	return w.Flush()
}

func keyType(k identity.ServiceAccountKey) string {
	switch key := k.Public.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	}
	return fmt.Sprintf("%T", k.Public)
}
