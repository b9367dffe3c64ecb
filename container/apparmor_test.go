package container

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/confine"
	"dhow/internal/apparmortest"
)

// leftOut says what a test cannot do here, and why; test/vm/run lists these lines.
func leftOut(t testing.TB, format string, args ...any) {
	t.Helper()
	t.Logf("left out: "+format, args...)
}

// profileIsRefused: who asks for a profile is not left without.
func profileIsRefused(t *testing.T) {
	t.Helper()
	r := newRig(t)
	r.runPod()
	config := command("true")
	config.Linux.SecurityContext.Apparmor = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: "named"}
	_, err := r.engine.CreateContainer(context.Background(), r.id, config, nil)
	if err == nil || !strings.Contains(err.Error(), `AppArmor profile "named": this kernel has no AppArmor enabled`) {
		t.Errorf("error is %v", err)
	}
}

func TestContainersAreConfinedByAppArmor(t *testing.T) {
	if !confine.AppArmorEnabled() {
		leftOut(t, "confining by AppArmor: missing is a kernel with CONFIG_SECURITY_APPARMOR that has it among lsm=; make vm-test boots one")
		profileIsRefused(t)
		return
	}
	named := fmt.Sprintf("dhow-test-%d", os.Getpid())
	apparmortest.Load(t, named, apparmortest.Complain)
	local := &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: named}
	for _, c := range []struct {
		what       string
		profile    *cri.SecurityProfile
		old        string
		privileged bool
		want, then string // before and after the default profile is loaded
	}{
		{"named", local, "", false, named + " (complain)", named + " (complain)"},
		{"named in the old field", nil, "localhost/" + named, false, named + " (complain)", named + " (complain)"},
		{"named and privileged", local, "", true, named + " (complain)", named + " (complain)"},
		{"unconfined", &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined}, "", false, "unconfined", "unconfined"},
		{"unconfined in the old field", nil, "unconfined", false, "unconfined", "unconfined"},
		{"the default", &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault}, "", false, "unconfined", confine.DefaultAppArmor + " (complain)"},
		{"nothing said", nil, "", false, "unconfined", confine.DefaultAppArmor + " (complain)"},
		{"nothing said and privileged", nil, "", true, "unconfined", "unconfined"},
	} {
		t.Run(c.what, func(t *testing.T) {
			config := command("sleep", "1000")
			s := config.Linux.SecurityContext
			s.Apparmor, s.ApparmorProfile, s.Privileged = c.profile, c.old, c.privileged
			now := func() string {
				r := newRig(t)
				id := r.launch(config)
				// By the shell itself: what it executes would get a profile of its own to learn for.
				const show = "read a < /proc/1/attr/current; read b < /proc/self/attr/current; echo \"$a\"; echo \"$b\""
				lines := strings.Split(strings.TrimSpace(r.exec(id, show)), "\n")
				if len(lines) != 2 || lines[0] != lines[1] {
					t.Errorf("the container and what is executed in it have %q", lines)
				}
				return lines[0]
			}
			if got := now(); got != c.want {
				t.Errorf("it is %s, want %s", got, c.want)
			}
			apparmortest.Load(t, confine.DefaultAppArmor, apparmortest.Complain)
			if got := now(); got != c.then {
				t.Errorf("with a default profile it is %s, want %s", got, c.then)
			}
		})
	}
	strict := named + "-strict"
	apparmortest.Load(t, strict, apparmortest.Enforce)
	config := command("cat", "/etc/passwd")
	r := newRig(t)
	if _, status := r.result(config); status.ExitCode != 0 {
		t.Errorf("without it, reading ends with %v", status)
	}
	config.Linux.SecurityContext.Apparmor = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: strict}
	if _, status := r.result(config); status.ExitCode == 0 {
		t.Errorf("a profile that forbids everything lets it read")
	}
}
