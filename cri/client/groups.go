package client

import (
	"context"
	"path"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// learnDriver asks who makes the runtime's control groups. Older runtimes do not tell; those use paths.
func (r *Runtime) learnDriver(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	answer, err := r.rpc.RuntimeConfig(ctx, &cri.RuntimeConfigRequest{})
	if status.Code(err) == codes.Unimplemented {
		return nil
	}
	r.systemd.Store(answer.GetLinux() != nil && answer.Linux.CgroupDriver == cri.CgroupDriver_SYSTEMD)
	return explain(err)
}

// withParent names the pod's group as the runtime's driver wants it.
func (r *Runtime) withParent(config *cri.PodSandboxConfig) *cri.PodSandboxConfig {
	parent := config.GetLinux().GetCgroupParent()
	if !r.systemd.Load() || parent == "" || strings.HasSuffix(parent, ".slice") {
		return config
	}
	config = proto.Clone(config).(*cri.PodSandboxConfig)
	config.Linux.CgroupParent = slice(parent)
	return config
}

// slice is a group's path in systemd's terms (systemd.slice(5)): /a/b is /a.slice/a-b.slice. A dash in a name would be a
// step of the path; it becomes an underscore, as with the kubelet.
func slice(group string) string {
	whole, all := "/", ""
	for part := range strings.SplitSeq(strings.Trim(path.Clean(group), "/"), "/") {
		if all != "" {
			all += "-"
		}
		all += strings.ReplaceAll(part, "-", "_")
		whole = path.Join(whole, all+".slice")
	}
	return whole
}
