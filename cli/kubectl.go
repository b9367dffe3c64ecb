//go:build !nocluster

package cli

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	kubectl "k8s.io/kubectl/pkg/cmd"
)

// newKubectlCommand is upstream's kubectl. Where the user names no kubeconfig it uses the admin's.
func newKubectlCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:                "kubectl …",
		Short:              "kubectl with the admin kubeconfig (a link named kubectl works too)",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			env.usersUmask()
			args = takeRootFlag(env, args)
			if os.Getenv("KUBECONFIG") == "" && !hasFlag(args, "--kubeconfig") {
				if err := os.Setenv("KUBECONFIG", env.kubeconfig()); err != nil {
					return err
				}
			}
			streams := genericiooptions.IOStreams{In: env.Stdin, Out: env.Stdout, ErrOut: env.Stderr}
			c := kubectl.NewDefaultKubectlCommandWithArgs(kubectl.KubectlOptions{
				Arguments: append([]string{"kubectl"}, args...),
				ConfigFlags: genericclioptions.NewConfigFlags(true).WithDeprecatedPasswordFlag().
					WithDiscoveryBurst(300).WithDiscoveryQPS(50).WithWarningPrinter(streams),
				IOStreams: streams,
			})
			c.SetArgs(args)
			return c.ExecuteContext(cmd.Context())
		},
	}
}

// takeRootFlag removes a leading --root, which is dhow's own and not kubectl's.
func takeRootFlag(env *environment, args []string) []string {
	switch {
	case len(args) > 0 && strings.HasPrefix(args[0], "--root="):
		env.Root = strings.TrimPrefix(args[0], "--root=")
		return args[1:]
	case len(args) > 1 && args[0] == "--root":
		env.Root = args[1]
		return args[2:]
	}
	return args
}

func hasFlag(args []string, name string) bool {
	for _, a := range args {
		if a == name || strings.HasPrefix(a, name+"=") {
			return true
		}
	}
	return false
}
