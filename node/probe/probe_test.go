package probe

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestHTTPJudgesByStatus(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bad":
			w.WriteHeader(http.StatusInternalServerError)
		case "/there":
			http.Redirect(w, r, "/good", http.StatusFound)
		case "/away":
			http.Redirect(w, r, "http://example.test/", http.StatusFound)
		case "/host":
			if r.Host != "wanted" {
				w.WriteHeader(http.StatusBadRequest)
			}
		case "/slow":
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	for path, want := range map[string]Result{
		"/good": {OK: true}, "/there": {OK: true}, "/away": {OK: true, Warning: true}, "/bad": {}, "/host": {OK: true},
	} {
		r := HTTP(within(t, time.Minute), server.URL+path, http.Header{"Host": {"wanted"}})
		if r.OK != want.OK || r.Warning != want.Warning {
			t.Errorf("%s: %+v", path, r)
		}
	}
	if r := HTTP(within(t, time.Minute), server.URL+"/bad", http.Header{}); r.Output != "HTTP probe failed with statuscode: 500" {
		t.Errorf("output %q", r.Output)
	}
	if r := HTTP(within(t, time.Minute), server.URL+"/away", http.Header{}); !strings.Contains(r.Output, `href="http://example.test/"`) {
		t.Errorf("output %q", r.Output)
	}
	if r := HTTP(within(t, 50*time.Millisecond), server.URL+"/slow", http.Header{}); r.OK || !strings.Contains(r.Output, "context deadline exceeded") {
		t.Errorf("slow: %+v", r)
	}
}

func TestTCPNeedsAListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if r := TCP(within(t, time.Minute), l.Addr().String()); !r.OK {
		t.Errorf("open: %+v", r)
	}
	l.Close()
	if r := TCP(within(t, time.Minute), l.Addr().String()); r.OK || !strings.Contains(r.Output, "refused") {
		t.Errorf("closed: %+v", r)
	}
}

func TestGRPCAsksTheHealthProtocol(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, states := grpc.NewServer(), health.NewServer()
	healthpb.RegisterHealthServer(server, states)
	states.SetServingStatus("ill", healthpb.HealthCheckResponse_NOT_SERVING)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	for service, want := range map[string]bool{"": true, "ill": false, "unknown": false} {
		if r := GRPC(within(t, time.Minute), l.Addr().String(), service); r.OK != want {
			t.Errorf("%q: %+v", service, r)
		}
	}
}
