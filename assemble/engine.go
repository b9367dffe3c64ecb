package assemble

import (
	"dhow/container"
	"dhow/image"
)

// Engine opens the containers of a root for a look, whether a server runs on it or not.
func Engine(c ServerConfig) (*container.Engine, *image.Store, error) {
	images, err := Images(c)
	if err != nil {
		return nil, nil, err
	}
	engine, err := container.New(container.Config{StateDir: c.Containers, CgroupParent: c.CgroupParent, Images: images, Log: c.Log})
	return engine, images, err
}

// Images opens the image store of a root.
func Images(c ServerConfig) (*image.Store, error) {
	return image.New(image.Config{Dir: c.Images, RegistriesFile: c.RegistriesFile, Log: c.Log})
}
