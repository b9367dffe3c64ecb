package apiserver

import (
	"context"
	"strings"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	utilflowcontrol "k8s.io/apiserver/pkg/util/flowcontrol"
	"k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing"
	"k8s.io/apiserver/pkg/util/flowcontrol/request"
)

// ownParts is priority and fairness that knows this cluster's parts: to FlowSchemas, upstream's above all, they are the
// controller manager. They run as users of their own, whom those would take for anybody.
type ownParts struct{ utilflowcontrol.Interface }

// Handle implements utilflowcontrol.Interface.
func (o ownParts) Handle(ctx context.Context, digest utilflowcontrol.RequestDigest,
	note func(*flowcontrolv1.FlowSchema, *flowcontrolv1.PriorityLevelConfiguration, string),
	estimate func() request.WorkEstimate, queued fairqueuing.QueueNoteFn, execute func(),
) {
	if isOwnPart(digest.User.GetName()) {
		digest.User = &user.DefaultInfo{Name: user.KubeControllerManager, Groups: digest.User.GetGroups()}
	}
	o.Interface.Handle(ctx, digest, note, estimate, queued, execute)
}

func isOwnPart(name string) bool {
	return strings.HasPrefix(name, "system:controller:") || name == user.KubeProxy || name == "system:coredns"
}
