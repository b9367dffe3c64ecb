package cli

import (
	"log/slog"
	"path/filepath"

	"dhow/assemble"
)

// nodeConfig is what commands that look at containers and images know without a server's flags.
func nodeConfig(env *environment) (assemble.Local, error) { return env.local(false) }

// local makes the root absolute and says what lies below it.
func (e *environment) local(debug bool) (assemble.Local, error) {
	root, err := filepath.Abs(e.Root)
	if err != nil {
		return assemble.Local{}, err
	}
	e.Root = root
	return assemble.Local{Paths: e.paths(), CgroupParent: e.cgroupParent(), LinkName: e.linkName(), Log: newLogger(e, debug)}, nil
}

func (e *environment) paths() assemble.Paths {
	data := e.dataDir()
	return assemble.Paths{
		Etcd:           filepath.Join(data, "etcd"),
		PKI:            filepath.Join(data, "pki"),
		Encryption:     filepath.Join(data, "encryption"),
		Images:         e.imagesDir(),
		Volumes:        filepath.Join(data, "pods"),
		PodLogs:        e.podLogsDir(),
		Containers:     e.containersDir(),
		Builds:         e.buildsDir(),
		BuildRuns:      e.buildRunsDir(),
		Network:        e.networkDir(),
		Engine:         filepath.Join(data, "engine"),
		EngineState:    filepath.Join(e.runDir(), "engine"),
		Manifests:      filepath.Join(e.configDir(), "manifests"),
		Kubeconfig:     e.kubeconfig(),
		RegistriesFile: e.registriesFile(),
		CRISocket:      e.criSocket(),
		Foreign:        filepath.Join(e.runDir(), "foreign"),
		Lock:           filepath.Join(data, "lock"),
	}
}

func newLogger(env *environment, debug bool) *slog.Logger {
	level := slog.LevelInfo
	if debug {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: level}))
}
