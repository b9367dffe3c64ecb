package assemble

import (
	"context"
	"path"

	"dhow/container"
	"dhow/container/foreign"
	"dhow/engine"
	"dhow/image"
)

// Engine opens the containers of a root for a look, whether a server runs on it or not.
func Engine(c Local) (*container.Engine, *image.Store, error) {
	images, err := Images(c)
	if err != nil {
		return nil, nil, err
	}
	engine, err := container.New(container.Config{StateDir: c.Containers, CgroupParent: c.CgroupParent, Images: images, Log: c.Log})
	return engine, images, err
}

// Runtime is Engine for what must reach into containers, those of other OCI runtimes included.
func Runtime(c Local) (*foreign.Runtime, error) {
	engine, images, err := Engine(c)
	if err != nil {
		return nil, err
	}
	return foreign.New(foreign.Config{Engine: engine, Images: images, StateDir: c.Foreign, Log: c.Log})
}

// Images opens the image store of a root.
func Images(c Local) (*image.Store, error) {
	return image.New(image.Config{Dir: c.Images, RegistriesFile: c.RegistriesFile, Log: c.Log})
}

// Standalone opens the containers of a root that belong to no cluster, whether a server runs on it or not. program begins
// a command line of this program (engine.Config).
func Standalone(c Local, program []string) (*engine.Service, *image.Store, error) {
	images, err := Images(c)
	if err != nil {
		return nil, nil, err
	}
	service, err := engine.New(engine.Config{
		Dir: c.Engine, StateDir: c.EngineState, CgroupParent: path.Join(c.CgroupParent, "engine"), LinkName: c.LinkName,
		Images: images, Program: program, Log: c.Log,
	})
	return service, images, err
}

// CleanUp takes down the end of one of Standalone's containers.
func CleanUp(ctx context.Context, c Local, program []string, id string) error {
	return engine.CleanUp(ctx, c.Engine, id, func() (*engine.Service, error) {
		service, _, err := Standalone(c, program)
		return service, err
	})
}
