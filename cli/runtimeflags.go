//go:build !nocluster

package cli

import (
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"dhow/assemble"
	"dhow/cri/socket"
)

// runtimeFlags choose what runs the node's containers.
type runtimeFlags struct {
	endpoint, imageEndpoint string
	handlers                []string
}

func (f *runtimeFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.endpoint, "container-runtime-endpoint", "", "socket of another CRI runtime that runs this node's containers, such as unix:///run/containerd/containerd.sock (default: dhow's own engine)")
	flags.StringVar(&f.imageEndpoint, "image-service-endpoint", "", "socket of the CRI image service that goes with it (default: --container-runtime-endpoint)")
	flags.StringSliceVar(&f.handlers, "runtime-handler", nil, "further OCI runtime for pods whose RuntimeClass has this handler, NAME=PROGRAM such as runc=/usr/sbin/runc")
}

func (f *runtimeFlags) config(p *flagParser) assemble.RuntimeConfig {
	if f.endpoint == "" && f.imageEndpoint != "" {
		p.fail("image-service-endpoint", f.imageEndpoint, "needs --container-runtime-endpoint: dhow's own engine uses its own images")
	}
	return assemble.RuntimeConfig{
		Endpoint:      p.endpoint("container-runtime-endpoint", f.endpoint),
		ImageEndpoint: p.endpoint("image-service-endpoint", f.imageEndpoint),
		Handlers:      p.handlers("runtime-handler", f.handlers),
	}
}

// handlers are programs by names such as RuntimeClasses may have.
func (p *flagParser) handlers(flag string, texts []string) map[string]string {
	programs := map[string]string{}
	for _, text := range texts {
		name, program, ok := strings.Cut(text, "=")
		if !ok || name == "dhow" || len(validation.IsDNS1123Label(name)) > 0 || !filepath.IsAbs(program) {
			p.fail(flag, text, "not a handler such as runc=/usr/sbin/runc: a name other than dhow, and the path of its program")
			continue
		}
		programs[name] = program
	}
	return programs
}

// endpoint is a unix socket's, or "" for none.
func (p *flagParser) endpoint(flag, text string) string {
	if text == "" {
		return ""
	}
	if _, err := socket.Path(text); err != nil {
		p.fail(flag, text, "not the endpoint of a unix socket such as unix:///run/containerd/containerd.sock")
	}
	return text
}
