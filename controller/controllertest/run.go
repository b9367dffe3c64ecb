// Package controllertest runs controllers in tests, on a real API server or a fake client.
package controllertest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/controller"
)

// On says what the controllers run on.
type On struct {
	// Client acts for all of them; As, if set, for each under its own user.
	Client kubernetes.Interface
	As     func(user string) (kubernetes.Interface, error)
	// Informers have not been started, or may be started again.
	Informers informers.SharedInformerFactory
	// Now is the clock, time.Now if nil.
	Now func() time.Time
}

// Run runs controllers until the test ends. They are ready when it returns.
func Run(t testing.TB, on On, controllers ...controller.Controller) {
	t.Helper()
	as := on.As
	if as == nil {
		as = func(string) (kubernetes.Interface, error) { return on.Client, nil }
	}
	manager, err := controller.New(controller.Config{
		Client:    as,
		Informers: on.Informers, Controllers: controllers, Now: on.Now,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	on.Informers.Start(ctx.Done())
	ended := make(chan error, 1)
	go func() { ended <- manager.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("controllers: %v", err)
		}
	})
	soon, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := manager.Ready(soon); err != nil {
		t.Fatalf("controllers are not ready: %v", err)
	}
}
