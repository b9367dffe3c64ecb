package node

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestATokenIsForThoseWhoRun(t *testing.T) {
	user := func(id int64) *corev1.SecurityContext { return &corev1.SecurityContext{RunAsUser: &id} }
	pod := func(common, group *int64, containers ...*corev1.SecurityContext) *corev1.Pod {
		p := &corev1.Pod{Spec: corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{RunAsUser: common, FSGroup: group}}}
		for _, c := range containers {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{SecurityContext: c})
		}
		return p
	}
	ann, bob, group := int64(1000), int64(1001), int64(2000)
	for name, c := range map[string]struct {
		pod   *corev1.Pod
		mode  os.FileMode
		owner uint32
		group uint32
	}{
		"nobody said who":                {pod(nil, nil, nil), 0o644, 0, 0},
		"all as one by the pod":          {pod(&ann, nil, nil, nil), 0o600, 1000, 0},
		"all as one by their containers": {pod(nil, nil, user(ann), user(ann)), 0o600, 1000, 0},
		"one as another":                 {pod(&ann, nil, nil, user(bob)), 0o644, 0, 0},
		"one does not say":               {pod(nil, nil, user(ann), nil), 0o644, 0, 0},
		"a group":                        {pod(nil, &group, nil), 0o640, 0, 2000},
		"a group and a user":             {pod(&ann, &group, nil), 0o640, 1000, 2000},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			n := &Node{tokens: tokenCache{held: map[tokenKey]heldToken{{"", "v", "token"}: {"secret", now, now.Add(time.Hour)}}}}
			files := map[string]file{}
			mode := int32(0o644)
			if err := n.tokenFile(t.Context(), files, c.pod, "v", &corev1.ServiceAccountTokenProjection{Path: "token"}, &mode); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := writeAtomically(dir, files, fsGroup(c.pod)); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(filepath.Join(dir, "token"))
			if err != nil {
				t.Fatal(err)
			}
			stat := info.Sys().(*syscall.Stat_t)
			if info.Mode() != c.mode || stat.Uid != c.owner || stat.Gid != c.group {
				t.Errorf("%v %d:%d, want %v %d:%d", info.Mode(), stat.Uid, stat.Gid, c.mode, c.owner, c.group)
			}
		})
	}
}
