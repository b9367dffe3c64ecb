package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"dhow/network/nft"
)

// health is what a load balancer wants to know of a Service on this node.
type health struct {
	port  int32
	local int // endpoints on this node
}

// healthOf is zero for Services whose health nobody asks for.
func healthOf(svc *corev1.Service, list []*discoveryv1.EndpointSlice, self node) health {
	if svc == nil || !served(svc) || svc.Spec.Type != corev1.ServiceTypeLoadBalancer ||
		svc.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
		return health{}
	}
	pods := map[string]bool{}
	family := nft.V4()
	if len(addrs(family, svc.Spec.ClusterIP)) == 0 {
		family = nft.V6()
	}
	for i := range svc.Spec.Ports {
		for _, e := range endpointsOf(list, &svc.Spec.Ports[i], family, self.name) {
			if e.local && e.ready {
				pods[e.at.Addr().String()] = true
			}
		}
	}
	return health{port: svc.Spec.HealthCheckNodePort, local: len(pods)}
}

// healthServers answer load balancers at the Services' healthCheckNodePorts. One goroutine uses them.
type healthServers struct {
	log     *slog.Logger
	running map[types.NamespacedName]*healthServer
	wg      sync.WaitGroup
}

type healthServer struct {
	port  int32
	local atomic.Int64
	http  *http.Server
}

func newHealthServers(log *slog.Logger) *healthServers {
	return &healthServers{log: log, running: map[types.NamespacedName]*healthServer{}}
}

// set starts, changes or stops the server of one Service.
func (h *healthServers) set(ctx context.Context, name types.NamespacedName, want health) {
	server := h.running[name]
	if server != nil && server.port != want.port {
		h.stop(name, server)
		server = nil
	}
	if want.port == 0 {
		return
	}
	if server == nil {
		var err error
		if server, err = h.start(ctx, name, want.port); err != nil {
			h.log.Error("serve a Service's health", "service", name.String(), "err", err)
			return
		}
	}
	server.local.Store(int64(want.local))
}

func (h *healthServers) start(ctx context.Context, name types.NamespacedName, port int32) (*healthServer, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return nil, fmt.Errorf("listen on health check port: %w", err)
	}
	server := &healthServer{port: port}
	server.http = &http.Server{Handler: server.handler(name), ReadHeaderTimeout: 10 * time.Second}
	h.running[name] = server
	h.wg.Go(func() {
		if err := server.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("serve a Service's health", "service", name.String(), "err", err)
		}
	})
	return server, nil
}

func (h *healthServers) stop(name types.NamespacedName, server *healthServer) {
	delete(h.running, name)
	if err := server.http.Close(); err != nil {
		h.log.Error("stop serving a Service's health", "service", name.String(), "err", err)
	}
}

// stopAll returns when all servers have ended.
func (h *healthServers) stopAll() {
	for name, server := range h.running {
		h.stop(name, server)
	}
	h.wg.Wait()
}

// handler answers as kube-proxy does: 200 with endpoints, 503 without.
func (s *healthServer) handler(name types.NamespacedName) http.Handler {
	type service struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		local := s.local.Load()
		body, err := json.Marshal(struct {
			Service service `json:"service"`
			Local   int64   `json:"localEndpoints"`
			Healthy bool    `json:"serviceProxyHealthy"`
		}{service{name.Namespace, name.Name}, local, true})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Load-Balancing-Endpoint-Weight", strconv.FormatInt(local, 10))
		if local == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write(body) // the client has gone if this fails
	})
}
