package assemble

import (
	"dhow/container"
	"dhow/image"
	"dhow/lifecycle"
	"dhow/network"
	"dhow/proxy"
)

// buildNode adds what makes this machine a node: images, the pod network, containers, the service proxy.
func (s *server) buildNode() error {
	c := s.config
	images, err := image.New(image.Config{Dir: c.Images, RegistriesFile: c.RegistriesFile, Log: c.Log})
	if err != nil {
		return err
	}
	pods, err := network.New(c.network())
	if err != nil {
		return err
	}
	s.add(lifecycle.Part{Name: "pod network", Run: pods.Run, Ready: pods.Ready})
	engine, err := container.New(c.container(images, pods))
	if err != nil {
		return err
	}
	s.add(lifecycle.Part{Name: "containers", Run: engine.Run, Ready: engine.Ready})
	services, err := proxy.New(c.proxy(s.api.Informers()))
	if err != nil {
		return err
	}
	s.add(lifecycle.Part{Name: "service proxy", Run: services.Run, Ready: services.Ready})
	return nil
}
