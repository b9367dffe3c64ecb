package customresources

import (
	"context"
	"errors"
	"net/http"
	"sync"

	genericapiserver "k8s.io/apiserver/pkg/server"
)

// Hooks start a Server with the API server that it is a part of; names are upstream's, and show in /readyz.
func (s *Server) Hooks(of *genericapiserver.GenericAPIServer) error {
	known := make(chan struct{})
	return errors.Join(
		// Until definitions are known, a request for what they define is told to come back, not that there is nothing.
		of.RegisterMuxAndDiscoveryCompleteSignal("CRDInformerHasNotSynced", known),
		of.AddPostStartHook("start-apiextensions-informers", func(c genericapiserver.PostStartHookContext) error {
			s.informers.Start(c.Done())
			return nil
		}),
		of.AddPostStartHook("start-apiextensions-controllers", func(c genericapiserver.PostStartHookContext) error {
			go s.control(c)
			select {
			case <-s.publisher.told:
			case <-c.Done():
			}
			return nil
		}),
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

// control runs what watches over definitions, until ctx ends.
func (s *Server) control(ctx context.Context) {
	var running sync.WaitGroup
	for _, run := range s.run {
		running.Go(func() { run(ctx) })
	}
	running.Wait()
}

// Close closes the storages of custom resources, when the last request has been answered.
func (s *Server) Close() { s.storages.close() }

var _ http.Handler = &Server{}
