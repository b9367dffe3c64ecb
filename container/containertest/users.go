package containertest

import (
	"fmt"
	"slices"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func userBehaviours() map[string]func(*rig) {
	return map[string]func(*rig){
		"the status says whom a container runs as":               toldUser,
		"the image's groups are merged with those asked for":     mergedGroups,
		"with the policy Strict the image's groups do not count": strictGroups,
	}
}

// as is a container that runs as a user.
func (r *rig) as(security *cri.LinuxContainerSecurityContext, script string) *cri.ContainerConfig {
	config := r.sh(script)
	security.NamespaceOptions = config.Linux.SecurityContext.NamespaceOptions
	config.Linux.SecurityContext = security
	return config
}

// wantUser compares what a running container's status says, groups in any order.
func (r *rig) wantUser(id string, uid, gid int64, groups ...int64) {
	r.Helper()
	u := r.status(id).GetUser().GetLinux()
	have := slices.Sorted(slices.Values(u.GetSupplementalGroups()))
	if u == nil || u.Uid != uid || u.Gid != gid || !slices.Equal(have, groups) {
		r.Errorf("the user is %v, want %d:%d with %v", u, uid, gid, groups)
	}
}

func toldUser(r *rig) {
	security := &cri.LinuxContainerSecurityContext{
		RunAsUser: &cri.Int64Value{Value: 1234}, RunAsGroup: &cri.Int64Value{Value: 1235}, SupplementalGroups: []int64{1236},
	}
	id := r.create(r.as(security, "sleep 1000"))
	if u := r.status(id).GetUser(); u != nil {
		r.Errorf("before the start the user is %v", u)
	}
	r.check(r.Runtime.StartContainer(r.ctx, id))
	r.wantUser(id, 1234, 1235, 1235, 1236)
}

func mergedGroups(r *rig) { r.sailor(cri.SupplementalGroupsPolicy_Merge, 1000, 1234, 50000) }

func strictGroups(r *rig) { r.sailor(cri.SupplementalGroupsPolicy_Strict, 1000, 1234) }

// sailor checks the groups of a container of the image's own user: what its status says, its command and further ones.
func (r *rig) sailor(policy cri.SupplementalGroupsPolicy, groups ...int64) {
	r.Helper()
	if !r.Limits {
		return // it does not look into the image, either
	}
	id := r.launch(r.as(&cri.LinuxContainerSecurityContext{
		RunAsUser: &cri.Int64Value{Value: 1000}, SupplementalGroups: []int64{1234}, SupplementalGroupsPolicy: policy,
	}, "id -G; sleep 1000"))
	r.wantUser(id, 1000, 1000, groups...)
	want := strings.Trim(fmt.Sprint(groups), "[]")
	r.says(id, want+"\n")
	if out := r.exec(id, "id", "-G"); strings.TrimSpace(out) != want {
		r.Errorf("a further command's groups are %q, want %q", out, want)
	}
}
