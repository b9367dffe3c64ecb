package assemble

import (
	"context"

	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/kinds/rbac"
	"dhow/lifecycle"
	"dhow/scheduler"
)

// admissionPlugins run in this order.
func admissionPlugins(client kubernetes.Interface, f informers.SharedInformerFactory) ([]admission.Interface, error) {
	return nil, nil
}

// buildControl adds what turns the API into a cluster: roles, controllers, the scheduler.
func (s *server) buildControl() error {
	roles := s.admin()
	s.add(lifecycle.Part{
		Name:  "roles",
		Run:   waitForEnd,
		Ready: func(ctx context.Context) error { return rbac.Reconcile(ctx, roles, nil) },
	})
	client, err := s.api.Client("system:kube-scheduler")
	if err != nil {
		return err
	}
	sched, err := scheduler.New(scheduler.Config{Client: client, Informers: s.api.Informers(), Log: s.config.Log})
	if err != nil {
		return err
	}
	s.add(lifecycle.Part{Name: "scheduler", Run: sched.Run, Ready: sched.Ready})
	return nil
}

// waitForEnd is the Run of a part whose work is done when it is ready.
func waitForEnd(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
