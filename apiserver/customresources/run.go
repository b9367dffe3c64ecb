package customresources

import (
	"context"
	"errors"
	"net/http"
	"sync"

	genericapiserver "k8s.io/apiserver/pkg/server"
)

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) {
	s.informers.Start(ctx.Done())
	defer s.informers.Shutdown()
	var running sync.WaitGroup
	defer running.Wait()
	for _, run := range s.run {
		running.Go(func() { run(ctx) })
	}
}

// Hooks have the API server that this is a part of wait until definitions are known. Names are upstream's; health shows
// them.
func (s *Server) Hooks(of *genericapiserver.GenericAPIServer) error {
	known := make(chan struct{})
	return errors.Join(
		// Until definitions are known, a request for what they define is told to come back, not that there is nothing.
		of.RegisterMuxAndDiscoveryCompleteSignal("CRDInformerHasNotSynced", known),
		of.AddPostStartHook("start-apiextensions-informers", s.started),
		of.AddPostStartHook("start-apiextensions-controllers", s.started),
		of.AddPostStartHook("crd-informer-synced", func(c genericapiserver.PostStartHookContext) error {
			select {
			case <-s.Informer().HasSyncedChecker().Done():
				close(known)
			case <-c.Done():
			}
			return nil
		}),
	)
}

func (s *Server) started(c genericapiserver.PostStartHookContext) error {
	s.AwaitDiscovery(c)
	return nil
}

// AwaitDiscovery blocks until all that was defined at the start is in discovery.
func (s *Server) AwaitDiscovery(ctx context.Context) {
	select {
	case <-s.publisher.told:
	case <-ctx.Done():
	}
}

// Close closes the storages of custom resources, when the last request has been answered.
func (s *Server) Close() { s.storages.close() }

var _ http.Handler = &Server{}
