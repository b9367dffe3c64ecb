package node

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestTheNodeTellsWhatItsRuntimeCan(t *testing.T) {
	m := newMachine(t)
	n, err := m.client.CoreV1().Nodes().Get(t.Context(), nodeName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if f := n.Status.Features; f == nil || f.SupplementalGroupsPolicy == nil || !*f.SupplementalGroupsPolicy {
		t.Errorf("features are %v", f)
	}
	h := n.Status.RuntimeHandlers
	if len(h) != 2 || h[0].Name != "" || h[1].Name != "dhow" || !*h[1].Features.RecursiveReadOnlyMounts || *h[1].Features.UserNamespaces {
		t.Errorf("handlers are %v", h)
	}
}

func TestThePolicyOfGroupsAndTheUserArePassedOn(t *testing.T) {
	m := newMachine(t)
	p := pod("p", ctr("c"))
	strict, uid, gid := corev1.SupplementalGroupsPolicyStrict, int64(5), int64(6)
	p.Spec.SecurityContext = &corev1.PodSecurityContext{SupplementalGroupsPolicy: &strict, RunAsUser: &uid, RunAsGroup: &gid, SupplementalGroups: []int64{7}}
	m.create(p)
	p = m.untilPod("p", "is ready", ready)
	if got := m.runtime.Config("c").Linux.SecurityContext.SupplementalGroupsPolicy; got != cri.SupplementalGroupsPolicy_Strict {
		t.Errorf("the runtime is asked for %v", got)
	}
	u := p.Status.ContainerStatuses[0].User
	if u == nil || u.Linux == nil || u.Linux.UID != 5 || u.Linux.GID != 6 || len(u.Linux.SupplementalGroups) != 2 {
		t.Errorf("the user is %v", u)
	}
}

func TestWhatARuntimeCannotIsRefused(t *testing.T) {
	var f features
	f.learn(&cri.StatusResponse{RuntimeHandlers: []*cri.RuntimeHandler{{}, {Name: "can", Features: &cri.RuntimeHandlerFeatures{RecursiveReadOnlyMounts: true, UserNamespaces: true}}}})
	strict, own := corev1.SupplementalGroupsPolicyStrict, false
	p := pod("p", ctr("c"))
	if why := f.refused(p); why != nil {
		t.Errorf("a plain pod: %v", why)
	}
	p.Spec.HostUsers, p.Spec.SecurityContext = &own, &corev1.PodSecurityContext{SupplementalGroupsPolicy: &strict}
	if why := f.refused(p); why == nil || why.reason != "SupplementalGroupsPolicyNotSupported" {
		t.Errorf("strict groups: %v", why)
	}
	if err := f.checkUsers(p, "old"); err == nil || !strings.Contains(err.Error(), `"old"`) {
		t.Errorf("users of its own: %v", err)
	}
	if err := f.checkUsers(p, "can"); err != nil {
		t.Error(err)
	}
	for mode, want := range map[corev1.RecursiveReadOnlyMode]string{
		corev1.RecursiveReadOnlyDisabled: "false false", corev1.RecursiveReadOnlyIfPossible: "false true", corev1.RecursiveReadOnlyEnabled: "error true",
	} {
		var got []string
		for _, handler := range []string{"", "can"} {
			switch below, err := f.readOnlyBelow(&corev1.VolumeMount{RecursiveReadOnly: &mode}, handler); {
			case err != nil:
				got = append(got, "error")
			case below:
				got = append(got, "true")
			default:
				got = append(got, "false")
			}
		}
		if told := strings.Join(got, " "); told != want {
			t.Errorf("%s: %s, want %s", mode, told, want)
		}
	}
}
