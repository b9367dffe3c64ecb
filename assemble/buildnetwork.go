package assemble

import (
	"context"
	"fmt"
	"net/netip"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/engine"
	"dhow/engine/networks"
	"dhow/image/build"
)

// buildNetwork connects the sandboxes of builds to the bridge that containers without a cluster have too. Who is there is
// written down as all members are, so that the next build takes out what a killed one has left.
type buildNetwork struct{ networks *networks.Networks }

func sandboxName(network string) string { return "build-" + network }

// Attach implements container.Network.
func (n buildNetwork) Attach(_ context.Context, sandbox, netns string, config *cri.PodSandboxConfig) ([]netip.Addr, error) {
	if config.GetMetadata().GetName() != sandboxName(build.NetworkDefault) {
		return nil, nil
	}
	bridge, err := n.networks.Get(networks.Bridge)
	if err != nil {
		return nil, err
	}
	m, err := n.networks.Join(sandbox, sandboxName(sandbox), sandbox, netns, []networks.Want{{Network: bridge.ID}}, nil)
	if err != nil {
		return nil, fmt.Errorf("%w (--network host gives RUN the machine's own network)", err)
	}
	return []netip.Addr{m.Places[0].IP}, nil
}

// Detach implements container.Network.
func (n buildNetwork) Detach(_ context.Context, sandbox string) error {
	return n.networks.Leave(sandbox)
}

// resolver is the machine's, without the servers that only the machine itself reaches.
func (n buildNetwork) resolver(network string) *cri.DNSConfig {
	r := engine.MachineResolver(network == build.NetworkHost)
	return &cri.DNSConfig{Servers: r.Servers, Searches: r.Search, Options: r.Options}
}

// Gateway implements build.Runner.
func (r *buildRunner) Gateway(network string) (netip.Addr, error) {
	if network != build.NetworkDefault {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	bridge, err := r.network.networks.Get(networks.Bridge)
	if err != nil {
		return netip.Addr{}, err
	}
	return bridge.Gateway, nil
}
