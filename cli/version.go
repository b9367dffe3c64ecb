package cli

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
	componentversion "k8s.io/component-base/version"
)

// version is set by the linker (Makefile).
var version = "dev"

func newVersionCommand(env *environment) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of dhow and of its Kubernetes API",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Dhow       string `json:"dhow"`
				Kubernetes string `json:"kubernetes"`
				Go         string `json:"go"`
				Platform   string `json:"platform"`
			}{version, componentversion.Get().GitVersion, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			switch output {
			case "":
				fmt.Fprintf(env.Stdout, "dhow %s\nkubernetes %s\n%s %s\n", v.Dhow, v.Kubernetes, v.Go, v.Platform)
				return nil
			case "json":
				enc := json.NewEncoder(env.Stdout)
				enc.SetIndent("", "  ")
				return enc.Encode(v)
			default:
				return usageError{fmt.Errorf("-o %s: the only output format is json", output)}
			}
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, or plain text by default")
	return cmd
}
