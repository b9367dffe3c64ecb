//go:build !nocluster

package assemble

import (
	"cmp"

	"dhow/container"
	"dhow/container/foreign"
	"dhow/cri/client"
	criserver "dhow/cri/server"
	"dhow/image"
	"dhow/lifecycle"
	"dhow/network"
)

// RuntimeConfig says what runs the node's containers.
type RuntimeConfig struct {
	// Endpoint is another CRI runtime's socket, ImageEndpoint its image service's (Endpoint when empty). Without one it is
	// the engine of this binary.
	Endpoint, ImageEndpoint string
	// Handlers are the programs of further OCI runtimes by the names that RuntimeClasses call them.
	Handlers map[string]string
}

// buildRuntime adds what runs containers: our engine, served to others as CRI, or the client of another runtime.
func (s *server) buildRuntime(images *image.Store, pods *network.Network) (container.Runtime, image.Service, error) {
	if s.config.Runtime.Endpoint != "" {
		return s.buildForeignRuntime()
	}
	c := s.config
	engine, err := container.New(c.container(images, pods))
	if err != nil {
		return nil, nil, err
	}
	runtime, err := foreign.New(foreign.Config{Engine: engine, Images: images, Programs: c.Runtime.Handlers, StateDir: c.Foreign, Log: c.Log})
	if err != nil {
		return nil, nil, err
	}
	s.add(lifecycle.Part{Name: "containers", Run: runtime.Run, Ready: runtime.Ready})
	served, err := criserver.New(criserver.Config{
		Socket: c.CRISocket, Runtime: runtime, Images: images, ImageDir: c.Images, Log: c.Log,
	})
	if err != nil {
		return nil, nil, err
	}
	s.add(lifecycle.Part{Name: "cri", Run: served.Run})
	return runtime, images, nil
}

func (s *server) buildForeignRuntime() (container.Runtime, image.Service, error) {
	c := s.config.Runtime
	runtime, err := client.NewRuntime(client.Config{Endpoint: c.Endpoint, Log: s.config.Log})
	if err != nil {
		return nil, nil, err
	}
	images, err := client.NewImages(client.Config{Endpoint: cmp.Or(c.ImageEndpoint, c.Endpoint), Log: s.config.Log})
	if err != nil {
		return nil, nil, err
	}
	s.add(lifecycle.Part{Name: "images of another runtime", Run: images.Run})
	s.add(lifecycle.Part{Name: "another container runtime", Run: runtime.Run, Ready: runtime.Ready})
	return runtime, images, nil
}
