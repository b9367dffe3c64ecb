package client

import (
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestGroupsAreNamedAsSystemdWantsThem(t *testing.T) {
	for group, want := range map[string]string{
		"/kubepods/podx":                      "/kubepods.slice/kubepods-podx.slice",
		"/kubepods/burstable/pod12-34/":       "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_34.slice",
		"kubepods":                            "/kubepods.slice",
		"/kubepods.slice/kubepods-podx.slice": "/kubepods.slice/kubepods-podx.slice",
	} {
		var r Runtime
		config := &cri.PodSandboxConfig{Linux: &cri.LinuxPodSandboxConfig{CgroupParent: group}}
		if got := r.withParent(config).Linux.CgroupParent; got != group {
			t.Errorf("without systemd %s becomes %s", group, got)
		}
		r.systemd.Store(true)
		if got := r.withParent(config).Linux.CgroupParent; got != want {
			t.Errorf("%s becomes %s, want %s", group, got, want)
		}
		if config.Linux.CgroupParent != group {
			t.Error("the caller's configuration has changed")
		}
	}
}
