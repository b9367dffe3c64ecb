package cli

import (
	"github.com/spf13/pflag"

	"dhow/assemble"
	"dhow/cri/socket"
)

// runtimeFlags choose what runs the node's containers.
type runtimeFlags struct {
	endpoint, imageEndpoint string
}

func (f *runtimeFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.endpoint, "container-runtime-endpoint", "", "socket of another CRI runtime that runs this node's containers, such as unix:///run/containerd/containerd.sock (default: dhow's own engine)")
	flags.StringVar(&f.imageEndpoint, "image-service-endpoint", "", "socket of the CRI image service that goes with it (default: --container-runtime-endpoint)")
}

func (f *runtimeFlags) config(p *flagParser) assemble.RuntimeConfig {
	if f.endpoint == "" && f.imageEndpoint != "" {
		p.fail("image-service-endpoint", f.imageEndpoint, "needs --container-runtime-endpoint: dhow's own engine uses its own images")
	}
	return assemble.RuntimeConfig{
		Endpoint:      p.endpoint("container-runtime-endpoint", f.endpoint),
		ImageEndpoint: p.endpoint("image-service-endpoint", f.imageEndpoint),
	}
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
