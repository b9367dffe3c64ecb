package agentapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"dhow/container"
)

// runtime answers what the API asks of containers.
type runtime struct{ container.Runtime }

func (runtime) ContainerStatus(context.Context, string) (*cri.ContainerStatus, error) {
	return &cri.ContainerStatus{State: cri.ContainerState_CONTAINER_EXITED}, nil
}

func (runtime) Exec(_ context.Context, _ string, o container.ExecOptions) (int, error) {
	_, err := io.WriteString(o.Stdout, strings.Join(o.Command, " "))
	if o.Command[0] == "false" {
		return 1, err
	}
	return 0, err
}

func (runtime) ListPodSandboxStats(context.Context, *cri.PodSandboxStatsFilter) ([]*cri.PodSandboxStats, error) {
	seven := &cri.UInt64Value{Value: 7_000_000_000}
	waits := &cri.PsiStats{Some: &cri.PsiData{Total: 5}, Full: &cri.PsiData{Total: 4}}
	labels := map[string]string{labelPodName: "p", labelPodNamespace: "ns", labelPodUID: "1", labelContainerName: "c"}
	return []*cri.PodSandboxStats{{
		Attributes: &cri.PodSandboxAttributes{Labels: labels},
		Linux: &cri.LinuxPodSandboxStats{
			Cpu: &cri.CpuUsage{UsageCoreNanoSeconds: seven}, Memory: &cri.MemoryUsage{WorkingSetBytes: seven},
			Containers: []*cri.ContainerStats{{
				Attributes: &cri.ContainerAttributes{Labels: labels},
				Cpu:        &cri.CpuUsage{UsageCoreNanoSeconds: seven, Psi: waits}, Memory: &cri.MemoryUsage{WorkingSetBytes: seven},
				Io: &cri.IoUsage{Psi: waits}, Swap: &cri.SwapUsage{SwapUsageBytes: seven}, WritableLayer: &cri.FilesystemUsage{UsedBytes: seven},
			}},
			Process: &cri.ProcessUsage{ProcessCount: seven},
			Network: &cri.NetworkUsage{DefaultInterface: &cri.NetworkInterfaceUsage{Name: "eth0"}, Interfaces: []*cri.NetworkInterfaceUsage{{Name: "eth0"}, {Name: "eth1"}}},
		},
	}}, nil
}

// agent has one pod "p" in "ns" with a running container "c".
type agent struct{ log string }

func (agent) Pods() []*corev1.Pod {
	return []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns"}}}
}

func (a agent) Container(namespace, pod, name string, _ bool) (*cri.ContainerStatus, error) {
	if namespace != "ns" || pod != "p" {
		return nil, container.ErrNotFound
	}
	if name != "c" {
		return nil, errors.New("container is waiting to start")
	}
	return &cri.ContainerStatus{Id: "1", LogPath: a.log, State: cri.ContainerState_CONTAINER_RUNNING}, nil
}

func (agent) Sandbox(string, string) (string, error)        { return "s", nil }
func (agent) Spec(string, string, string) *corev1.Container { return nil }

// ask sends a request as a caller whose verified certificate is of a group; "" shows none.
func ask(t *testing.T, method, path, group string) *httptest.ResponseRecorder {
	t.Helper()
	log := filepath.Join(t.TempDir(), "0.log")
	if err := os.WriteFile(log, []byte("2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:00:02Z stderr F two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest(method, path, nil)
	request.TLS = &tls.ConnectionState{}
	if group != "" {
		request.TLS.VerifiedChains = [][]*x509.Certificate{{{Subject: pkix.Name{Organization: []string{group}}}}}
	}
	recorder := httptest.NewRecorder()
	Handler(Config{NodeName: "n", Pods: agent{log}, Runtime: runtime{}, Disk: "/"}).ServeHTTP(recorder, request)
	return recorder
}

func TestOnlyAdministratorsGetMoreThanHealth(t *testing.T) {
	if r := ask(t, "GET", "/healthz", ""); r.Code != http.StatusOK {
		t.Errorf("health: %d", r.Code)
	}
	for _, path := range []string{"/pods", "/containerLogs/ns/p/c", "/exec/ns/p/c", "/attach/ns/p/c", "/portForward/ns/p", "/stats/summary", "/metrics", "/metrics/resource"} {
		if r := ask(t, "GET", path, ""); r.Code != http.StatusUnauthorized {
			t.Errorf("%s without a certificate: %d", path, r.Code)
		}
		if r := ask(t, "GET", path, "system:nodes"); r.Code != http.StatusForbidden {
			t.Errorf("%s as another node: %d", path, r.Code)
		}
	}
}

func TestLogsHonourTheirOptions(t *testing.T) {
	for query, want := range map[string]string{
		"": "one\ntwo\n", "?tailLines=1": "two\n", "?stream=Stdout": "one\n", "?limitBytes=2": "on", "?sinceTime=2026-01-01T00:00:02Z": "two\n",
	} {
		if r := ask(t, "GET", "/containerLogs/ns/p/c"+query, mastersGroup); r.Code != http.StatusOK || r.Body.String() != want {
			t.Errorf("%s: %d %q, want %q", query, r.Code, r.Body, want)
		}
	}
	for path, want := range map[string]int{
		"/containerLogs/ns/p/c?tailLines=x": http.StatusBadRequest, "/containerLogs/ns/p/other": http.StatusBadRequest, "/containerLogs/ns/gone/c": http.StatusNotFound,
	} {
		if r := ask(t, "GET", path, mastersGroup); r.Code != want {
			t.Errorf("%s: %d, want %d", path, r.Code, want)
		}
	}
}

func TestRunAnswersWithTheOutput(t *testing.T) {
	if r := ask(t, "POST", "/run/ns/p/c?cmd=echo&cmd=hi", mastersGroup); r.Code != http.StatusOK || r.Body.String() != "echo hi" {
		t.Errorf("%d %q", r.Code, r.Body)
	}
	if r := ask(t, "POST", "/run/ns/p/c?cmd=false", mastersGroup); r.Code != http.StatusInternalServerError {
		t.Errorf("a failing command: %d", r.Code)
	}
}

func TestSummaryTellsOfNodeAndPods(t *testing.T) {
	var s statsapi.Summary
	if err := json.Unmarshal(ask(t, "GET", "/stats/summary", mastersGroup).Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if s.Node.NodeName != "n" || *s.Node.Memory.WorkingSetBytes == 0 || *s.Node.Fs.CapacityBytes == 0 {
		t.Errorf("node %+v", s.Node)
	}
	if len(s.Pods) != 1 || s.Pods[0].PodRef.Name != "p" || *s.Pods[0].Containers[0].CPU.UsageCoreNanoSeconds != 7_000_000_000 {
		t.Fatalf("pods %+v", s.Pods)
	}
	p, c := s.Pods[0], s.Pods[0].Containers[0]
	if c.CPU.PSI.Some.Total != 5 || c.IO.PSI.Full.Total != 4 || *c.Swap.SwapUsageBytes != 7_000_000_000 || *c.Rootfs.UsedBytes != 7_000_000_000 {
		t.Errorf("container %+v", c)
	}
	if *p.ProcessStats.ProcessCount != 7_000_000_000 || p.Network.Name != "eth0" || len(p.Network.Interfaces) != 2 {
		t.Errorf("pod %+v", p)
	}
	if _, err := os.Stat("/proc/pressure/io"); (err == nil) != (s.Node.IO != nil && s.Node.CPU.PSI != nil && s.Node.Memory.PSI != nil) {
		t.Errorf("the machine's pressure: %+v", s.Node)
	}
}

func TestResourceMetricsNameTheirContainers(t *testing.T) {
	text := ask(t, "GET", "/metrics/resource", mastersGroup).Body.String()
	if want := `container_cpu_usage_seconds_total{container="c",namespace="ns",pod="p"} 7 `; !strings.Contains(text, want) {
		t.Errorf("%q is missing in:\n%s", want, text)
	}
}
