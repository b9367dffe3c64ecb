package server

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/containertest"
)

func newService(t testing.TB) (*runtimeService, *containertest.Fake) {
	t.Helper()
	fake := containertest.NewFake()
	log := slog.New(slog.DiscardHandler)
	s := &runtimeService{Config: Config{Runtime: fake}, streams: newStreams(fake, log)}
	t.Cleanup(s.streams.close)
	return s, fake
}

// runPod is a pod with a container that runs.
func runPod(t testing.TB, s *runtimeService) (sandbox, id string) {
	t.Helper()
	ctx := t.Context()
	pod := &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: "p", Namespace: "n"}}
	made, err := s.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: pod})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: made.PodSandboxId, SandboxConfig: pod, Config: &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: "img"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: c.ContainerId}); err != nil {
		t.Fatal(err)
	}
	return made.PodSandboxId, c.ContainerId
}

func TestTheSocketIsItsOwnersAndGoesWithTheServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cri.sock")
	if err := os.WriteFile(path, nil, 0o666); err != nil { // what a crash left
		t.Fatal(err)
	}
	s, err := New(Config{Socket: path, Runtime: containertest.NewFake(), Images: noImages{}, ImageDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestHandlersAreTold(t *testing.T) {
	s, _ := newService(t)
	answer, err := s.Status(t.Context(), &cri.StatusRequest{Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, h := range answer.RuntimeHandlers {
		names = append(names, h.Name)
	}
	if got := strings.Join(names, ","); got != ",dhow" || !strings.Contains(answer.Info["info"], "dhow") {
		t.Errorf("handlers are %q, info %v", got, answer.Info)
	}
}

func TestStreamsNeedAContainerThatRuns(t *testing.T) {
	s, fake := newService(t)
	sandbox, id := runPod(t, s)
	answer, err := s.Exec(t.Context(), &cri.ExecRequest{ContainerId: id, Cmd: []string{"x"}, Stdout: true})
	if err != nil || !strings.HasPrefix(answer.GetUrl(), "http://127.0.0.1:") {
		t.Errorf("exec: %v, %v", answer, err)
	}
	if _, err := s.PortForward(t.Context(), &cri.PortForwardRequest{PodSandboxId: sandbox, Port: []int32{80}}); err != nil {
		t.Errorf("port-forward: %v", err)
	}
	fake.EndAll()
	if _, err := s.Exec(t.Context(), &cri.ExecRequest{ContainerId: id, Cmd: []string{"x"}, Stdout: true}); err == nil {
		t.Error("exec in one that has ended works")
	}
	if _, err := s.Attach(t.Context(), &cri.AttachRequest{ContainerId: "none", Stdout: true}); codeOf(err) != codes.NotFound {
		t.Errorf("attach to none: %v", err)
	}
}

func TestMetricsAreTheOnesDescribed(t *testing.T) {
	s, _ := newService(t)
	_, id := runPod(t, s)
	described, err := s.ListMetricDescriptors(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]int{}
	for _, d := range described.Descriptors {
		labels[d.Name] = len(d.LabelKeys)
	}
	given, err := s.ListPodSandboxMetrics(t.Context(), nil)
	if err != nil || len(given.PodMetrics) != 1 || len(given.PodMetrics[0].ContainerMetrics) != 1 {
		t.Fatalf("metrics are %v, %v", given, err)
	}
	c := given.PodMetrics[0].ContainerMetrics[0]
	if c.ContainerId != id || len(c.Metrics) < 3 {
		t.Errorf("the container's are %v", c)
	}
	for _, m := range append(c.Metrics, given.PodMetrics[0].Metrics...) {
		if n, ok := labels[m.Name]; !ok || n != len(m.LabelValues) {
			t.Errorf("%s has %d values for %d labels", m.Name, len(m.LabelValues), n)
		}
	}
}

func TestTheNodesNetworksArePassedOn(t *testing.T) {
	s, _ := newService(t)
	var got []netip.Prefix
	s.SetPodCIDRs = func(_ context.Context, all []netip.Prefix) error { got = all; return nil }
	config := func(text string) *cri.UpdateRuntimeConfigRequest {
		return &cri.UpdateRuntimeConfigRequest{RuntimeConfig: &cri.RuntimeConfig{NetworkConfig: &cri.NetworkConfig{PodCidr: text}}}
	}
	if _, err := s.UpdateRuntimeConfig(t.Context(), config("10.1.0.0/24,fd00::/64")); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := s.UpdateRuntimeConfig(t.Context(), config("10.1.0.0")); status.Code(err) != codes.InvalidArgument {
		t.Errorf("nonsense: %v", err)
	}
}

func TestOutputOfExecSyncIsBounded(t *testing.T) {
	var c capped
	for range 3 {
		if n, err := c.Write(make([]byte, maxOutput/2)); n != maxOutput/2 || err != nil {
			t.Fatal(n, err)
		}
	}
	if c.Len() > maxOutput {
		t.Errorf("%d bytes are kept", c.Len())
	}
}
