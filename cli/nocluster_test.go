//go:build nocluster

package cli

import (
	"strings"
	"testing"
)

func TestTheWholeProgramLiesUnderTheRootThatTheUserGave(t *testing.T) {
	for line, want := range map[string]string{
		"dhow server":                                "/",
		"dhow --root /a server":                      "/a",
		"dhow --root=/a server --node-name x":        "/a",
		"dhow server --node-name x --root /a":        "/a",
		"dhow server --node-name=x --root=/a":        "/a",
		"dhow --root /a kubectl exec p cp --root /b": "/a",
		"dhow kubectl debug --root /b":               "/",
		"dhow --help":                                "/",
		"dhow":                                       "/",
	} {
		if got := rootOf(strings.Fields(line)); got != want {
			t.Errorf("%s: root %q, want %q", line, got, want)
		}
	}
}

func TestCommandsOfContainersAreThisProgramsOwn(t *testing.T) {
	env := &environment{Root: "/"}
	for line, own := range map[string]bool{
		"--root /a ps -a": true, "run --rm busybox true": true, "oci list": true, "image ls": true, "version": true,
		"server": false, "--root /a kubectl get pods": false, "help run": false, "--help": false, "": false, "demo": false,
	} {
		cmd, _, err := newRootCommand(env).Find(strings.Fields(line))
		if got := err == nil && cmd.HasParent(); got != own {
			t.Errorf("%q: own %v, %v", line, got, err)
		}
	}
}
