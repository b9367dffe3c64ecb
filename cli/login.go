package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	dockerconfig "github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/types"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dhow/image/registry"
)

// hubKey is how Docker's config.json calls the default registry.
const hubKey = "https://index.docker.io/v1/"

func newLoginCommand(env *environment) *cobra.Command {
	var user, password string
	var fromStdin bool
	cmd := &cobra.Command{
		Use:   "login [OPTIONS] [SERVER]",
		Short: "Log in to a registry",
		Long: `Log in to a registry. The proof is kept as Docker keeps it: in config.json of the directory DOCKER_CONFIG or ~/.docker,
or by the credential helper that it names (credsStore, credHelpers).`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			host, key, err := loginServer(args)
			if err != nil {
				return err
			}
			if user, password, err = askLogin(env, user, password, fromStdin); err != nil {
				return err
			}
			file, err := registry.Read(env.registriesFile())
			if err != nil {
				return err
			}
			token, err := file.Login(cmd.Context(), host, user, password)
			if err != nil {
				return err
			}
			proof := types.AuthConfig{Username: user, Password: password, ServerAddress: key}
			if token != "" {
				proof.Password, proof.IdentityToken = "", token
			}
			config, err := dockerconfig.Load(dockerconfig.Dir())
			if err != nil {
				return err
			}
			store := config.GetCredentialsStore(key)
			if err := store.Store(proof); err != nil {
				return fmt.Errorf("save the login in %s: %w", config.GetFilename(), err)
			}
			if config.CredentialsStore == "" && config.CredentialHelpers[key] == "" {
				fmt.Fprintf(env.Stderr, "WARNING! Your credentials are stored unencrypted in '%s'. A credential helper (credsStore) keeps them elsewhere.\n", config.GetFilename())
			}
			fmt.Fprintln(env.Stdout, "Login Succeeded")
			return nil
		},
	}
	cmd.Flags().StringVarP(&user, "username", "u", "", "who logs in")
	cmd.Flags().StringVarP(&password, "password", "p", "", "the password or token; others can see it here: --password-stdin is better")
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func newLogoutCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "logout [SERVER]",
		Short: "Log out from a registry",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			host, key, err := loginServer(args)
			if err != nil {
				return err
			}
			config, err := dockerconfig.Load(dockerconfig.Dir())
			if err != nil {
				return err
			}
			if known, err := config.GetAuthConfig(key); err != nil || known == (types.AuthConfig{ServerAddress: known.ServerAddress}) {
				fmt.Fprintf(env.Stdout, "Not logged in to %s\n", host)
				return err
			}
			fmt.Fprintf(env.Stdout, "Removing login credentials for %s\n", host)
			if err := config.GetCredentialsStore(key).Erase(key); err != nil {
				return fmt.Errorf("remove the login from %s: %w", config.GetFilename(), err)
			}
			return nil
		},
	}
}

// loginServer is the registry that is meant, and how Docker's config.json calls it.
func loginServer(args []string) (host, key string, err error) {
	if len(args) == 0 || args[0] == "" || args[0] == "docker.io" || args[0] == "index.docker.io" || args[0] == hubKey {
		return "docker.io", hubKey, nil
	}
	host = strings.TrimPrefix(strings.TrimPrefix(args[0], "https://"), "http://")
	host, _, _ = strings.Cut(host, "/")
	if err := registry.ValidHost(host); err != nil {
		return "", "", usageError{err}
	}
	return host, host, nil
}

// askLogin takes the user and password from flags, standard input or the terminal.
func askLogin(env *environment, user, password string, fromStdin bool) (string, string, error) {
	switch {
	case fromStdin && password != "":
		return "", "", usageError{errors.New("--password and --password-stdin are mutually exclusive")}
	case fromStdin && user == "":
		return "", "", usageError{errors.New("Must provide --username with --password-stdin")}
	case fromStdin:
		data, err := io.ReadAll(io.LimitReader(env.Stdin, 1<<20))
		if err != nil {
			return "", "", err
		}
		password = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	}
	f, ok := env.Stdin.(*os.File)
	terminal := ok && term.IsTerminal(int(f.Fd()))
	if (user == "" || password == "") && !terminal {
		return "", "", errors.New("Cannot perform an interactive login from a non TTY device: give --username and --password-stdin")
	}
	if user == "" {
		fmt.Fprint(env.Stdout, "Username: ")
		line, err := bufio.NewReader(env.Stdin).ReadString('\n')
		if err != nil {
			return "", "", err
		}
		user = strings.TrimSpace(line)
	}
	if password == "" {
		fmt.Fprint(env.Stdout, "Password: ")
		secret, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(env.Stdout)
		if err != nil {
			return "", "", err
		}
		password = string(secret)
	}
	if user == "" || password == "" {
		return "", "", errors.New("username and password are required")
	}
	return user, password, nil
}
