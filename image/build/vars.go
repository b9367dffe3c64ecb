package build

import (
	"maps"
	"runtime"
	"slices"
	"strings"
)

// vars are named values in the order in which they came.
type vars struct {
	order  []string
	values map[string]string
}

func newVars() *vars { return &vars{values: map[string]string{}} }

func (v *vars) clone() *vars { return &vars{slices.Clone(v.order), maps.Clone(v.values)} }

func (v *vars) set(name, value string) {
	if _, known := v.values[name]; !known {
		v.order = append(v.order, name)
	}
	v.values[name] = value
}

// list is "name=value" of each.
func (v *vars) list() []string {
	all := make([]string, 0, len(v.order))
	for _, name := range v.order {
		all = append(all, name+"="+v.values[name])
	}
	return all
}

// Get and Keys are what buildkit's expansion of variables asks.
func (v *vars) Get(name string) (string, bool) {
	value, ok := v.values[name]
	return value, ok
}

// Keys are the names.
func (v *vars) Keys() []string { return v.order }

// proxies are build arguments that need no ARG, and that neither the cache nor the image knows of.
var proxies = []string{
	"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy",
}

// platformVars are those that a Dockerfile knows of the machine and of the image.
func platformVars(target string) *vars {
	v := newVars()
	own := "linux/" + runtime.GOARCH
	if target == "" {
		target = own
	}
	for prefix, platform := range map[string]string{"BUILD": own, "TARGET": target} {
		parts := append(strings.SplitN(platform, "/", 3), "", "")
		v.set(prefix+"PLATFORM", platform)
		v.set(prefix+"OS", parts[0])
		v.set(prefix+"ARCH", parts[1])
		v.set(prefix+"VARIANT", parts[2])
	}
	slices.Sort(v.order)
	return v
}

// setEnv adds to a list of "name=value" or replaces in it.
func setEnv(env []string, name, value string) []string {
	env = slices.Clone(env)
	for i, e := range env {
		if known, _, _ := strings.Cut(e, "="); known == name {
			env[i] = name + "=" + value
			return env
		}
	}
	return append(env, name+"="+value)
}

func hasEnv(env []string, name string) bool {
	return slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
}
