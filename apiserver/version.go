package apiserver

import (
	"runtime/debug"
	"strings"

	apimachineryversion "k8s.io/apimachinery/pkg/version"
	basecompatibility "k8s.io/component-base/compatibility"
)

// ownVersion says which version of the API this is. What the linker was not told (it is by make) comes from what Go
// notes in every program: the version of the Kubernetes libraries, and the commit.
type ownVersion struct {
	basecompatibility.EffectiveVersion
}

// Info implements compatibility.EffectiveVersion.
func (v ownVersion) Info() *apimachineryversion.Info {
	info := v.EffectiveVersion.Info()
	if info == nil {
		return nil
	}
	const placeholder = "$Format:"
	build, ok := debug.ReadBuildInfo()
	if strings.Contains(info.GitVersion, placeholder) {
		info.GitVersion = "v" + info.Major + "." + info.Minor + "." + patchOf(build) + "+dhow"
	}
	if !strings.Contains(info.GitCommit, placeholder) || !ok {
		return info
	}
	info.GitCommit = ""
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			info.GitCommit = s.Value
		case "vcs.time":
			info.BuildDate = s.Value
		case "vcs.modified":
			info.GitTreeState = map[string]string{"true": "dirty", "false": "clean"}[s.Value]
		}
	}
	return info
}

// patchOf is the last part of the libraries' version: 2 of v0.37.2.
func patchOf(build *debug.BuildInfo) string {
	if build == nil {
		return "0"
	}
	for _, d := range build.Deps {
		if d.Path == "k8s.io/apiserver" {
			return d.Version[strings.LastIndex(d.Version, ".")+1:]
		}
	}
	return "0"
}
