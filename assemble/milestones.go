//go:build !nocluster

package assemble

import (
	"context"

	"k8s.io/apiserver/pkg/server/healthz"

	"dhow/apiserver"
)

// milestones are the steps of the start behind the API server's own, by upstream's names, and the parts of the control
// plane that kubectl get componentstatuses shows.
type milestones struct {
	roles, classes, addresses *apiserver.Milestone
	controllers, scheduler    *apiserver.Milestone
}

func newMilestones() milestones {
	return milestones{
		roles:       apiserver.NewMilestone("poststarthook/rbac/bootstrap-roles"),
		classes:     apiserver.NewMilestone("poststarthook/scheduling/bootstrap-system-priority-classes"),
		addresses:   apiserver.NewMilestone("poststarthook/start-service-ip-repair-controllers"),
		controllers: apiserver.NewMilestone("controller-manager"),
		scheduler:   apiserver.NewMilestone("scheduler"),
	}
}

func (m milestones) ofStart() []*apiserver.Milestone {
	return []*apiserver.Milestone{m.roles, m.classes, m.addresses}
}

func (m milestones) components() []healthz.HealthChecker {
	return []healthz.HealthChecker{m.scheduler, m.controllers}
}

// reach is do, and m is reached when that has worked.
func reach(m *apiserver.Milestone, do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := do(ctx); err != nil {
			return err
		}
		m.Reach()
		return nil
	}
}
