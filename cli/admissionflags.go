//go:build !nocluster

package cli

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/pflag"

	"dhow/assemble"
)

// admissionFlags choose the API server's admission plug-ins.
type admissionFlags struct {
	enable, disable []string
	file            string
}

func (f *admissionFlags) register(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.enable, "enable-admission-plugins", nil, "admission plug-ins that run besides those that do by default")
	flags.StringSliceVar(&f.disable, "disable-admission-plugins", nil, "admission plug-ins that do not run though they do by default")
	flags.StringVar(&f.file, "admission-control-config-file", "", "file with the configurations of admission plug-ins (default: PodSecurity warns of pods beyond baseline)")
}

func (f *admissionFlags) config() (assemble.AdmissionConfig, error) {
	c := assemble.AdmissionConfig{Enable: f.enable, Disable: f.disable}
	if f.file == "" {
		return c, nil
	}
	file, err := filepath.Abs(f.file)
	if err != nil {
		return c, fmt.Errorf("--admission-control-config-file: %w", err)
	}
	c.File = file
	return c, nil
}
