package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"path/filepath"
)

// environment is what a subcommand may touch of the world: its streams and the places under --root.
type environment struct {
	// Root moves every path; "/" by default.
	Root   string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	umask  fs.FileMode // the user's
}

func (e *environment) path(elem ...string) string {
	return filepath.Join(append([]string{e.Root}, elem...)...)
}

func (e *environment) dataDir() string   { return e.path("var/lib/dhow") }
func (e *environment) runDir() string    { return e.path("run/dhow") }
func (e *environment) configDir() string { return e.path("etc/dhow") }

func (e *environment) imagesDir() string      { return filepath.Join(e.dataDir(), "images") }
func (e *environment) containersDir() string  { return filepath.Join(e.runDir(), "containers") }
func (e *environment) buildsDir() string      { return filepath.Join(e.dataDir(), "build") }
func (e *environment) buildRunsDir() string   { return filepath.Join(e.runDir(), "builds") }
func (e *environment) networkDir() string     { return filepath.Join(e.runDir(), "network") }
func (e *environment) criSocket() string      { return filepath.Join(e.runDir(), "cri.sock") }
func (e *environment) podLogsDir() string     { return filepath.Join(e.dataDir(), "logs/pods") }
func (e *environment) kubeconfig() string     { return filepath.Join(e.configDir(), "kubeconfig") }
func (e *environment) registriesFile() string { return filepath.Join(e.configDir(), "registries.yaml") }

// suffix tells several roots on one machine apart in names that live outside the root (cgroups, links,
// nftables tables): empty for "/", else eight hex digits of the path's hash.
func (e *environment) suffix() string {
	if filepath.Clean(e.Root) == "/" {
		return ""
	}
	sum := sha256.Sum256([]byte(filepath.Clean(e.Root)))
	return hex.EncodeToString(sum[:4])
}

func (e *environment) cgroupParent() string {
	if s := e.suffix(); s != "" {
		return "/dhow-" + s
	}
	return "/dhow"
}

// linkName prefixes links and tables; six characters at most (network.Config.Name).
func (e *environment) linkName() string {
	if s := e.suffix(); s != "" {
		return "dh" + s[:4]
	}
	return "dhow"
}
