package apiserver

import (
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"

	"k8s.io/apiserver/pkg/server/healthz"
)

// Milestone is a health check that fails until something was reached: a step of the start.
type Milestone struct {
	name    string
	reached atomic.Bool
}

var _ healthz.HealthChecker = &Milestone{}

// NewMilestone is not reached yet.
func NewMilestone(name string) *Milestone { return &Milestone{name: name} }

// Name is what health checks call it.
func (m *Milestone) Name() string { return m.name }

// Reach makes the check succeed from now on.
func (m *Milestone) Reach() { m.reached.Store(true) }

// Check fails until Reach was called.
func (m *Milestone) Check(*http.Request) error {
	if !m.reached.Load() {
		return fmt.Errorf("%s has not ended yet", m.name)
	}
	return nil
}

// start's own milestones, by upstream's names for the same work.
type milestones struct{ storage, admission, namespaces, trust, service *Milestone }

func newMilestones() milestones {
	return milestones{
		storage:    NewMilestone("poststarthook/storage-readiness"),
		admission:  NewMilestone("poststarthook/start-apiserver-admission-initializer"),
		namespaces: NewMilestone("poststarthook/start-system-namespaces-controller"),
		trust:      NewMilestone("poststarthook/start-cluster-authentication-info-controller"),
		service:    NewMilestone("poststarthook/bootstrap-controller"),
	}
}

// bootChecks are all milestones of the start, those that other parts reach among them.
func (s *Server) bootChecks() []healthz.HealthChecker {
	all := []healthz.HealthChecker{s.milestones.storage, s.milestones.admission, s.milestones.namespaces, s.milestones.trust, s.milestones.service}
	for _, m := range s.config.Milestones {
		all = append(all, m)
	}
	return all
}

// readyz is the path that tells whether the server is ready, as far as it depends on nothing that starts after it.
func (s *Server) readyz() string {
	exclude := url.Values{}
	for _, m := range s.config.Milestones {
		exclude.Add("exclude", m.Name())
	}
	return (&url.URL{Path: "/readyz", RawQuery: exclude.Encode()}).String()
}
