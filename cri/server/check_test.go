package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/containertest"
)

// ask makes a call as the server does, but for the connection.
func ask(ctx context.Context, service any, methods []grpc.MethodDesc, name string, request []byte) error {
	for _, m := range methods {
		if m.MethodName != name {
			continue
		}
		_, err := m.Handler(service, ctx, func(v any) error {
			if err := proto.Unmarshal(request, v.(proto.Message)); err != nil {
				return status.Error(codes.Internal, err.Error())
			}
			return nil
		}, explainUnary)
		return err
	}
	return fmt.Errorf("no method %s", name)
}

func (s *runtimeService) ask(t *testing.T, method string, request proto.Message) error {
	t.Helper()
	data, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return ask(t.Context(), s, cri.RuntimeService_ServiceDesc.Methods, method, data)
}

func TestBadRequestsAreRefusedByTheFieldThatIsWrong(t *testing.T) {
	s, _ := newService(t)
	sandbox, id := runPod(t, s)
	pod := func(change func(*cri.PodSandboxConfig)) *cri.RunPodSandboxRequest {
		c := &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: "p"}, Linux: &cri.LinuxPodSandboxConfig{}}
		change(c)
		return &cri.RunPodSandboxRequest{Config: c}
	}
	ctr := func(change func(*cri.ContainerConfig)) *cri.CreateContainerRequest {
		c := &cri.ContainerConfig{Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: "i"}, Linux: &cri.LinuxContainerConfig{}}
		change(c)
		return &cri.CreateContainerRequest{PodSandboxId: sandbox, Config: c}
	}
	type security = cri.LinuxContainerSecurityContext
	secured := func(s *security) *cri.CreateContainerRequest {
		return ctr(func(c *cri.ContainerConfig) { c.Linux.SecurityContext = s })
	}
	mounted := func(m *cri.Mount) *cri.CreateContainerRequest {
		return ctr(func(c *cri.ContainerConfig) { c.Mounts = []*cri.Mount{m} })
	}
	limited := func(r *cri.LinuxContainerResources) *cri.UpdateContainerResourcesRequest {
		return &cri.UpdateContainerResourcesRequest{ContainerId: id, Linux: r}
	}
	const none = "0123456789abcdef"
	for name, c := range map[string]struct {
		method  string
		request proto.Message
		code    codes.Code
		told    string
	}{
		"no such pod":           {"PodSandboxStatus", &cri.PodSandboxStatusRequest{PodSandboxId: none}, codes.NotFound, none},
		"no such container":     {"ContainerStatus", &cri.ContainerStatusRequest{ContainerId: none}, codes.NotFound, none},
		"exec in none":          {"ExecSync", &cri.ExecSyncRequest{ContainerId: none, Cmd: []string{"x"}}, codes.NotFound, none},
		"start of none":         {"StartContainer", &cri.StartContainerRequest{ContainerId: none}, codes.NotFound, none},
		"limits of none":        {"UpdateContainerResources", &cri.UpdateContainerResourcesRequest{ContainerId: none, Linux: &cri.LinuxContainerResources{}}, codes.NotFound, none},
		"limits of no pod":      {"UpdatePodSandboxResources", &cri.UpdatePodSandboxResourcesRequest{PodSandboxId: none, Resources: &cri.LinuxContainerResources{}}, codes.NotFound, none},
		"a path for an id":      {"ContainerStatus", &cri.ContainerStatusRequest{ContainerId: "../../etc"}, codes.NotFound, "../../etc"},
		"stats of none":         {"ContainerStats", &cri.ContainerStatsRequest{ContainerId: none}, codes.NotFound, none},
		"container of no pod":   {"CreateContainer", &cri.CreateContainerRequest{PodSandboxId: none, Config: ctr(func(*cri.ContainerConfig) {}).Config}, codes.NotFound, none},
		"stop of none":          {"StopContainer", &cri.StopContainerRequest{ContainerId: none}, codes.OK, ""},
		"removal of none":       {"RemovePodSandbox", &cri.RemovePodSandboxRequest{PodSandboxId: none}, codes.OK, ""},
		"no id":                 {"ContainerStatus", &cri.ContainerStatusRequest{}, codes.InvalidArgument, "container_id"},
		"no id to remove":       {"RemovePodSandbox", &cri.RemovePodSandboxRequest{}, codes.InvalidArgument, "pod_sandbox_id"},
		"no command":            {"Exec", &cri.ExecRequest{ContainerId: id}, codes.InvalidArgument, "cmd"},
		"no config":             {"RunPodSandbox", &cri.RunPodSandboxRequest{}, codes.InvalidArgument, "config"},
		"no resources":          {"UpdatePodSandboxResources", &cri.UpdatePodSandboxResourcesRequest{PodSandboxId: sandbox}, codes.InvalidArgument, "resources"},
		"a negative time":       {"StopContainer", &cri.StopContainerRequest{ContainerId: id, Timeout: -1}, codes.InvalidArgument, "timeout"},
		"an endless time":       {"ExecSync", &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"x"}, Timeout: math.MaxInt64}, codes.InvalidArgument, "timeout"},
		"a port too high":       {"PortForward", &cri.PortForwardRequest{PodSandboxId: sandbox, Port: []int32{70000}}, codes.InvalidArgument, "70000"},
		"port zero":             {"PortForward", &cri.PortForwardRequest{PodSandboxId: sandbox, Port: []int32{0}}, codes.InvalidArgument, "port"},
		"a host's port":         {"RunPodSandbox", pod(func(c *cri.PodSandboxConfig) { c.PortMappings = []*cri.PortMapping{{HostPort: -5}} }), codes.InvalidArgument, "port_mappings[0].host_port"},
		"a host's address":      {"RunPodSandbox", pod(func(c *cri.PodSandboxConfig) { c.PortMappings = []*cri.PortMapping{{HostIp: "here"}} }), codes.InvalidArgument, "here"},
		"an unknown protocol":   {"RunPodSandbox", pod(func(c *cri.PodSandboxConfig) { c.PortMappings = []*cri.PortMapping{{Protocol: 9}} }), codes.InvalidArgument, "port_mappings[0].protocol: unknown value 9"},
		"a hostname":            {"RunPodSandbox", pod(func(c *cri.PodSandboxConfig) { c.Hostname = "a/b" }), codes.InvalidArgument, "hostname"},
		"a group outside":       {"RunPodSandbox", pod(func(c *cri.PodSandboxConfig) { c.Linux.CgroupParent = "/../../system.slice" }), codes.InvalidArgument, "cgroup_parent"},
		"a relative log":        {"RunPodSandbox", pod(func(c *cri.PodSandboxConfig) { c.LogDirectory = "logs" }), codes.InvalidArgument, "log_directory"},
		"two lines of DNS":      {"RunPodSandbox", pod(func(c *cri.PodSandboxConfig) { c.DnsConfig = &cri.DNSConfig{Servers: []string{"1.1.1.1\nx"}} }), codes.InvalidArgument, "dns_config"},
		"an unknown handler":    {"RunPodSandbox", &cri.RunPodSandboxRequest{Config: pod(func(*cri.PodSandboxConfig) {}).Config, RuntimeHandler: "kata"}, codes.Unknown, "kata"},
		"a log outside":         {"CreateContainer", ctr(func(c *cri.ContainerConfig) { c.LogPath = "../../x.log" }), codes.InvalidArgument, "log_path"},
		"a variable's name":     {"CreateContainer", ctr(func(c *cri.ContainerConfig) { c.Envs = []*cri.KeyValue{{Key: "A=B"}} }), codes.InvalidArgument, "envs[0]"},
		"a null byte":           {"CreateContainer", ctr(func(c *cri.ContainerConfig) { c.Command = []string{"a", "b\x00c"} }), codes.InvalidArgument, "command[1]"},
		"a null byte in a map":  {"CreateContainer", ctr(func(c *cri.ContainerConfig) { c.Labels = map[string]string{"a": "\x00"} }), codes.InvalidArgument, "labels[a]"},
		"an unknown signal":     {"CreateContainer", ctr(func(c *cri.ContainerConfig) { c.StopSignal = 999 }), codes.InvalidArgument, "stop_signal"},
		"a device":              {"CreateContainer", ctr(func(c *cri.ContainerConfig) { c.Devices = []*cri.Device{{HostPath: "null"}} }), codes.InvalidArgument, "devices[0]"},
		"a relative mount":      {"CreateContainer", mounted(&cri.Mount{HostPath: "/", ContainerPath: "x"}), codes.InvalidArgument, "mounts[0].container_path"},
		"a mount of nothing":    {"CreateContainer", mounted(&cri.Mount{ContainerPath: "/x"}), codes.InvalidArgument, "mounts[0].host_path"},
		"a way out of an image": {"CreateContainer", mounted(&cri.Mount{ContainerPath: "/x", Image: &cri.ImageSpec{Image: "i"}, ImageSubPath: "a/../../b"}), codes.InvalidArgument, "image_sub_path"},
		"unknown propagation":   {"CreateContainer", mounted(&cri.Mount{HostPath: "/", ContainerPath: "/x", Propagation: 7}), codes.InvalidArgument, "mounts[0].propagation: unknown value 7"},
		"an unknown policy":     {"CreateContainer", secured(&security{SupplementalGroupsPolicy: 5}), codes.InvalidArgument, "supplemental_groups_policy"},
		"an unknown profile":    {"CreateContainer", secured(&security{Seccomp: &cri.SecurityProfile{ProfileType: 8}}), codes.InvalidArgument, "seccomp.profile_type"},
		"an unknown namespace":  {"CreateContainer", secured(&security{NamespaceOptions: &cri.NamespaceOption{Ipc: 6}}), codes.InvalidArgument, "namespace_options.ipc"},
		"a user too high":       {"CreateContainer", secured(&security{RunAsUser: &cri.Int64Value{Value: 1 << 32}}), codes.InvalidArgument, "run_as_user"},
		"a negative group":      {"CreateContainer", secured(&security{SupplementalGroups: []int64{-1}}), codes.InvalidArgument, "supplemental_groups"},
		"negative memory":       {"UpdateContainerResources", limited(&cri.LinuxContainerResources{MemoryLimitInBytes: -4096}), codes.InvalidArgument, "memory_limit_in_bytes"},
		"negative shares":       {"UpdateContainerResources", limited(&cri.LinuxContainerResources{CpuShares: -1}), codes.InvalidArgument, "cpu_shares"},
		"a score too high":      {"UpdateContainerResources", limited(&cri.LinuxContainerResources{OomScoreAdj: 1001}), codes.InvalidArgument, "oom_score_adj"},
		"a checkpoint":          {"CheckpointContainer", &cri.CheckpointContainerRequest{ContainerId: id}, codes.Unimplemented, "no checkpoints"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			err := s.ask(t, c.method, c.request)
			if status.Code(err) != c.code || err != nil && !strings.Contains(err.Error(), c.told) {
				t.Errorf("%v, want %v that tells of %q", err, c.code, c.told)
			}
		})
	}
}

// FuzzRequests: whatever bytes come for whatever call, there is an answer.
func FuzzRequests(f *testing.F) {
	add := func(method int, m proto.Message) {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(method, data)
	}
	runtimeMethods, imageMethods := cri.RuntimeService_ServiceDesc.Methods, cri.ImageService_ServiceDesc.Methods
	meta := &cri.PodSandboxMetadata{Name: "p", Namespace: "n"}
	for i := range len(runtimeMethods) + len(imageMethods) {
		f.Add(i, []byte{})
		add(i, &cri.RunPodSandboxRequest{Config: &cri.PodSandboxConfig{Metadata: meta, Linux: &cri.LinuxPodSandboxConfig{CgroupParent: "/a"}}})
		add(i, &cri.CreateContainerRequest{PodSandboxId: "s001", Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: "i"}, Mounts: []*cri.Mount{{ContainerPath: "/m", HostPath: "/"}}, Devices: []*cri.Device{{}},
		}})
		add(i, &cri.ExecSyncRequest{ContainerId: "c002", Cmd: []string{"a"}, Timeout: 1})
		add(i, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: "i"}, Auth: &cri.AuthConfig{Auth: "x"}, SandboxConfig: &cri.PodSandboxConfig{}})
	}
	log := slog.New(slog.DiscardHandler)
	f.Fuzz(func(t *testing.T, method int, request []byte) {
		if method < 0 || method >= len(runtimeMethods)+len(imageMethods) {
			return
		}
		fake := containertest.NewFake()
		config := Config{Runtime: fake, Images: noImages{new(string)}, ImageDir: t.TempDir()}
		s := &runtimeService{Config: config, streams: newStreams(fake, log)}
		defer s.streams.close()
		runPod(t, s)
		var err error
		if method < len(runtimeMethods) {
			err = ask(t.Context(), s, runtimeMethods, runtimeMethods[method].MethodName, request)
		} else {
			err = ask(t.Context(), &imageService{Config: config}, imageMethods, imageMethods[method-len(runtimeMethods)].MethodName, request)
		}
		if _, told := status.FromError(err); err != nil && !told {
			t.Errorf("an error without a code: %v", err)
		}
	})
}

func TestAMessageThatIsTooLargeIsRefusedAndTheNextOneAnswered(t *testing.T) {
	c := dialServer(t, containertest.NewFake())
	huge := &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: "p"}, Annotations: map[string]string{"a": strings.Repeat("x", maxMessage)}}
	if _, err := c.RunPodSandbox(t.Context(), &cri.RunPodSandboxRequest{Config: huge}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a huge message: %v", err)
	}
	if _, err := c.Version(t.Context(), &cri.VersionRequest{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestAReaderOfEventsThatIsTooSlowIsToldToListAgain(t *testing.T) {
	fake := containertest.NewFake()
	c := dialServer(t, fake)
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	stream, err := c.GetContainerEvents(ctx, &cri.GetEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	pod := &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: "p"}, Annotations: map[string]string{"a": strings.Repeat("x", 4096)}}
	id, err := fake.RunPodSandbox(t.Context(), pod, "")
	if err != nil {
		t.Fatal(err)
	}
	config := &cri.ContainerConfig{Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: "i"}}
	change := func() {
		made, err := fake.CreateContainer(t.Context(), id, config, pod)
		if err := errors.Join(err, fake.RemoveContainer(t.Context(), made)); err != nil {
			t.Fatal(err)
		}
	}
	first := make(chan error, 1)
	go func() {
		_, err := stream.Recv()
		first <- err
	}()
	for listens := false; !listens; { // what happens before is not told
		change()
		select {
		case err = <-first:
			listens = true
		case <-time.After(time.Millisecond):
		}
	}
	for range 1000 { // more than are kept, and than fit into the connection
		change()
	}
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "list again") {
		t.Errorf("the stream ends with %v", err)
	}
}

// dialServer serves a runtime on a socket.
func dialServer(t *testing.T, fake *containertest.Fake) cri.RuntimeServiceClient {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cri.sock")
	s, err := New(Config{Socket: path, Runtime: fake, Images: noImages{new(string)}, ImageDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(2*maxMessage)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return cri.NewRuntimeServiceClient(conn)
}
