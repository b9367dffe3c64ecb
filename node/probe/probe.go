// Package probe asks a container once whether it is well: by HTTP, TCP or gRPC. It counts nothing and knows no pod.
package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// Result of one question. Output tells people why.
type Result struct {
	OK bool
	// Warning: well, but not as it should be answered.
	Warning bool
	Output  string
}

// failed with words.
func failed(format string, args ...any) Result { return Result{Output: fmt.Sprintf(format, args...)} }

// mostBody of an answer is read.
const mostBody = 10 << 10

// client trusts any certificate and keeps no connection: a probe is to see what a new caller would.
func client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, DisableCompression: true,
		},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if next.URL.Hostname() != via[0].URL.Hostname() {
				return http.ErrUseLastResponse // what is elsewhere is not the container's answer
			}
			if len(via) >= 10 {
				return errors.New("stopped after 10 redirects")
			}
			return nil
		},
	}
}

// HTTP is well when a GET of target is answered with 200–399.
func HTTP(ctx context.Context, target string, headers http.Header) Result {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return failed("%v", err)
	}
	request.Header, request.Host = headers, headers.Get("Host")
	response, err := client().Do(request)
	if err != nil {
		return failed("%v", timedOut(ctx, err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, mostBody))
	if err != nil && len(body) == 0 {
		return failed("%v", timedOut(ctx, err))
	}
	if response.StatusCode < http.StatusOK || response.StatusCode >= http.StatusBadRequest {
		return failed("HTTP probe failed with statuscode: %d", response.StatusCode)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return Result{OK: true, Warning: true, Output: "Probe terminated redirects, Response body: " + string(body)}
	}
	return Result{OK: true, Output: string(body)}
}

// timedOut is the error in words that say what was waited for.
func timedOut(ctx context.Context, err error) error {
	var u *url.Error
	if errors.As(err, &u) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("Get %q: context deadline exceeded (Client.Timeout exceeded while awaiting headers)", u.URL)
	}
	return err
}

// TCP is well when address (host:port) takes a connection.
func TCP(ctx context.Context, address string) Result {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return failed("%v", err)
	}
	// A reset, so that many probes leave no ports in TIME_WAIT.
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	if err := conn.Close(); err != nil {
		return failed("%v", err)
	}
	return Result{OK: true}
}

// GRPC is well when the gRPC Health Checking Protocol at address says SERVING for service.
func GRPC(ctx context.Context, address, service string) Result {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent("kube-probe"))
	if err != nil {
		return failed("%v", err)
	}
	defer conn.Close()
	begin := time.Now()
	answer, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: service}, grpc.WaitForReady(false))
	switch status.Code(err) {
	case codes.OK:
	case codes.Unimplemented:
		return failed("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): %s", status.Convert(err).Message())
	case codes.DeadlineExceeded:
		return failed("timeout: health rpc did not complete within %v", time.Since(begin).Round(time.Millisecond))
	default:
		return failed("error: health rpc probe failed: %v", err)
	}
	if answer.Status != healthpb.HealthCheckResponse_SERVING {
		return failed("service unhealthy (responded with %q)", answer.Status)
	}
	return Result{OK: true}
}
