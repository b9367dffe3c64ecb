//go:build !nocluster

package assemble

import (
	"context"
	"errors"
	"net/netip"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"dhow/controller"
	"dhow/garbage"
	"dhow/kinds/configmap"
	"dhow/kinds/flowcontrol"
	"dhow/kinds/namespace"
	"dhow/kinds/priorityclass"
	"dhow/kinds/rbac"
	"dhow/kinds/servicecidr"
	"dhow/lifecycle"
	"dhow/scheduler"
)

// buildControl adds what turns the API into a cluster: roles, controllers, the scheduler.
func (s *server) buildControl() error {
	content, err := metadata.NewForConfig(s.api.ClientConfig(controller.User(namespace.ControllerName)))
	if err != nil {
		return err
	}
	all := controllers(s.config, s.identity, content)
	own, err := controller.Roles(append(all, garbage.Access()))
	if err != nil {
		return err
	}
	admin := s.admin()
	roles := reach(s.milestones.roles, func(ctx context.Context) error {
		if err := rbac.Reconcile(ctx, admin, own); err != nil {
			return err
		}
		return s.roles.Await(ctx, own) // else the first requests of controllers would be refused
	})
	classes := reach(s.milestones.classes, func(ctx context.Context) error { return priorityclass.Reconcile(ctx, admin) })
	addresses := reach(s.milestones.addresses, func(ctx context.Context) error {
		return servicecidr.Reconcile(ctx, admin, s.config.ServiceCIDRs, s.config.Log)
	})
	info := func(ctx context.Context) error {
		server := "https://" + netip.AddrPortFrom(s.config.AdvertiseAddress, uint16(s.config.Port)).String()
		return configmap.PublishClusterInfo(ctx, admin, server, s.identity.CA.PEM)
	}
	s.add(lifecycle.Part{
		Name: "roles",
		Run:  waitForEnd,
		Ready: func(ctx context.Context) error {
			return errors.Join(roles(ctx), classes(ctx), addresses(ctx), info(ctx))
		},
	})
	manager, err := controller.New(controller.Config{
		Client:    func(user string) (kubernetes.Interface, error) { return s.api.Client(user) },
		Informers: s.api.Informers(), Controllers: all, Log: s.config.Log,
	})
	if err != nil {
		return err
	}
	s.add(lifecycle.Part{Name: "controllers", Run: manager.Run, Ready: reach(s.milestones.controllers, manager.Ready)})
	s.add(lifecycle.Part{Name: "flow control", Run: func(ctx context.Context) error {
		return flowcontrol.Maintain(ctx, admin, s.config.Log)
	}})
	if err := s.buildScheduler(); err != nil {
		return err
	}
	return s.buildGarbage()
}

// buildGarbage adds what deletes objects that have lost their owners.
func (s *server) buildGarbage() error {
	user := controller.User(garbage.Access().Name)
	client, err := s.api.Client(user)
	if err != nil {
		return err
	}
	content, err := metadata.NewForConfig(s.api.ClientConfig(user))
	if err != nil {
		return err
	}
	collector, err := garbage.New(garbage.Config{Client: client, Metadata: content, Informers: s.api.Informers(), Log: s.config.Log})
	if err != nil {
		return err
	}
	s.add(lifecycle.Part{Name: "garbage collector", Run: collector.Run})
	return nil
}

func (s *server) buildScheduler() error {
	client, err := s.api.Client("system:kube-scheduler")
	if err != nil {
		return err
	}
	sched, err := scheduler.New(scheduler.Config{Client: client, Informers: s.api.Informers(), Log: s.config.Log})
	if err != nil {
		return err
	}
	s.add(lifecycle.Part{Name: "scheduler", Run: sched.Run, Ready: reach(s.milestones.scheduler, sched.Ready)})
	return nil
}

// waitForEnd is the Run of a part whose work is done when it is ready.
func waitForEnd(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
