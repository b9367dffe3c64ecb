package node

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/api/podspec"
	"dhow/internal/mounts"
)

// Labels and annotations by which the agent knows again what it started; the labels are the kubelet's.
const (
	labelPodName       = "io.kubernetes.pod.name"
	labelPodNamespace  = "io.kubernetes.pod.namespace"
	labelPodUID        = "io.kubernetes.pod.uid"
	labelContainerName = "io.kubernetes.container.name"
	annotationMessage  = "io.kubernetes.container.terminationMessagePath"
)

func (n *Node) logDir(pod *corev1.Pod) string {
	return filepath.Join(n.config.Logs, pod.Namespace+"_"+pod.Name+"_"+string(pod.UID))
}

// sandboxConfig is a pod's sandbox in CRI's terms.
func (n *Node) sandboxConfig(pod *corev1.Pod, attempt uint32) (*cri.PodSandboxConfig, error) {
	hostname := n.hostname(pod)
	dns, err := n.dnsConfig(pod)
	if err != nil {
		return nil, err
	}
	labels := maps.Clone(pod.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelPodName], labels[labelPodNamespace], labels[labelPodUID] = pod.Name, pod.Namespace, string(pod.UID)
	c := &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: pod.Name, Namespace: pod.Namespace, Uid: string(pod.UID), Attempt: attempt},
		Hostname: hostname, LogDirectory: n.logDir(pod), DnsConfig: dns, Labels: labels, Annotations: pod.Annotations,
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent:    cgroupParent(pod),
			SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: namespaces(pod)},
			Resources:       podResources(pod),
			Sysctls:         map[string]string{},
		},
	}
	if s := pod.Spec.SecurityContext; s != nil {
		for _, sysctl := range s.Sysctls {
			c.Linux.Sysctls[sysctl.Name] = sysctl.Value
		}
	}
	if !pod.Spec.HostNetwork {
		c.PortMappings = portMappings(pod)
	}
	return c, nil
}

// cgroupParent is by quality of service, as the kubelet arranges groups.
func cgroupParent(pod *corev1.Pod) string {
	class := map[corev1.PodQOSClass]string{
		corev1.PodQOSBurstable: "/kubepods/burstable", corev1.PodQOSBestEffort: "/kubepods/besteffort",
	}[qosOf(pod)]
	if class == "" {
		class = "/kubepods"
	}
	return class + "/pod" + string(pod.UID)
}

func qosOf(pod *corev1.Pod) corev1.PodQOSClass {
	if pod.Status.QOSClass != "" {
		return pod.Status.QOSClass
	}
	return podspec.QOSClass(pod)
}

func namespaces(pod *corev1.Pod) *cri.NamespaceOption {
	options := &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER}
	if pod.Spec.HostNetwork {
		options.Network = cri.NamespaceMode_NODE
	}
	if pod.Spec.HostUsers != nil && !*pod.Spec.HostUsers {
		options.UsernsOptions = &cri.UserNamespace{Mode: cri.NamespaceMode_POD} // the runtime chooses the ids
	}
	if pod.Spec.HostIPC {
		options.Ipc = cri.NamespaceMode_NODE
	}
	switch {
	case pod.Spec.HostPID:
		options.Pid = cri.NamespaceMode_NODE
	case isTrue(pod.Spec.ShareProcessNamespace):
		options.Pid = cri.NamespaceMode_POD
	}
	return options
}

// podResources limit the whole pod where every container has a limit.
func podResources(pod *corev1.Pod) *cri.LinuxContainerResources {
	var milli, memory, requests int64
	cpuLimited, memoryLimited := true, true
	for _, c := range pod.Spec.Containers {
		requests += c.Resources.Requests.Cpu().MilliValue()
		milli += c.Resources.Limits.Cpu().MilliValue()
		memory += c.Resources.Limits.Memory().Value()
		cpuLimited = cpuLimited && !c.Resources.Limits.Cpu().IsZero()
		memoryLimited = memoryLimited && !c.Resources.Limits.Memory().IsZero()
	}
	r := &cri.LinuxContainerResources{CpuShares: shares(requests)}
	if cpuLimited {
		r.CpuPeriod, r.CpuQuota = cpuPeriod, quota(milli)
	}
	if memoryLimited && len(pod.Spec.InitContainers) == 0 {
		r.MemoryLimitInBytes = memory
	}
	return r
}

const cpuPeriod = 100_000 // microseconds

// shares are 1024 for a CPU and 2 at least (cgroup v1, cpu.shares).
func shares(milli int64) int64 { return max(2, milli*1024/1000) }

func quota(milli int64) int64 { return max(1000, milli*cpuPeriod/1000) }

func portMappings(pod *corev1.Pod) []*cri.PortMapping {
	var all []*cri.PortMapping
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, p := range c.Ports {
			if p.HostPort == 0 {
				continue
			}
			all = append(all, &cri.PortMapping{
				Protocol:      cri.Protocol(cri.Protocol_value[string(p.Protocol)]),
				ContainerPort: p.ContainerPort, HostPort: p.HostPort, HostIp: p.HostIP,
			})
		}
	}
	return all
}

// hostname is the pod's, cut to what a host may be called.
func (n *Node) hostname(pod *corev1.Pod) string {
	if pod.Spec.HostNetwork {
		name, err := os.Hostname()
		if err == nil {
			return name
		}
	}
	name := pod.Spec.Hostname
	if name == "" {
		name = pod.Name
	}
	if isTrue(pod.Spec.SetHostnameAsFQDN) && pod.Spec.Subdomain != "" {
		name += "." + pod.Spec.Subdomain + "." + pod.Namespace + ".svc." + n.config.ClusterDomain
	}
	if len(name) > 63 {
		name = strings.TrimRight(name[:63], "-.")
	}
	return name
}

// dnsConfig is /etc/resolv.conf by the pod's policy.
func (n *Node) dnsConfig(pod *corev1.Pod) (*cri.DNSConfig, error) {
	config := &cri.DNSConfig{}
	policy := pod.Spec.DNSPolicy
	if policy == corev1.DNSClusterFirst && pod.Spec.HostNetwork {
		policy = corev1.DNSDefault
	}
	host, err := hostResolver()
	if err != nil {
		return nil, err
	}
	switch policy {
	case corev1.DNSNone:
	case corev1.DNSDefault:
		config = host
	default:
		domain := n.config.ClusterDomain
		config.Servers = []string{n.config.ClusterDNS.String()}
		config.Searches = append([]string{pod.Namespace + ".svc." + domain, "svc." + domain, domain}, host.Searches...)
		config.Options = []string{"ndots:5"}
	}
	if own := pod.Spec.DNSConfig; own != nil {
		config.Servers = appendNew(config.Servers, own.Nameservers)
		config.Searches = appendNew(config.Searches, own.Searches)
		config.Options = mergeOptions(config.Options, own.Options)
	}
	return config, nil
}

func appendNew(list, more []string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// mergeOptions lets the pod's own options win over those of the same name.
func mergeOptions(list []string, own []corev1.PodDNSConfigOption) []string {
	for _, o := range own {
		list = slices.DeleteFunc(slices.Clone(list), func(s string) bool {
			name, _, _ := strings.Cut(s, ":")
			return name == o.Name
		})
		if o.Value != nil {
			list = append(list, o.Name+":"+*o.Value)
		} else {
			list = append(list, o.Name)
		}
	}
	return list
}

func hostResolver() (*cri.DNSConfig, error) {
	data, err := os.ReadFile("/etc/resolv.conf")
	if os.IsNotExist(err) {
		return &cri.DNSConfig{}, nil
	}
	if err != nil {
		return nil, err
	}
	c := &cri.DNSConfig{}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			c.Servers = append(c.Servers, fields[1])
		case "search":
			c.Searches = fields[1:]
		case "options":
			c.Options = fields[1:]
		}
	}
	return c, nil
}

// containerConfig is a container in CRI's terms. attempt counts its starts; images are those of volumes, by their names.
func (n *Node) containerConfig(pod *corev1.Pod, c *corev1.Container, imageID string, images map[string]string, attempt uint32, ips []string) (*cri.ContainerConfig, error) {
	env, err := n.environment(pod, c, ips)
	if err != nil {
		return nil, err
	}
	mounts, err := n.mounts(pod, c, images, attempt, ips, env)
	if err != nil {
		return nil, err
	}
	security, err := n.securityContext(pod, c)
	if err != nil {
		return nil, err
	}
	values := asMap(env)
	return &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: c.Name, Attempt: attempt},
		Image:    &cri.ImageSpec{Image: imageID, UserSpecifiedImage: c.Image},
		Command:  expandAll(c.Command, values), Args: expandAll(c.Args, values), WorkingDir: c.WorkingDir,
		Envs: env, Mounts: mounts,
		Labels: map[string]string{
			labelPodName: pod.Name, labelPodNamespace: pod.Namespace, labelPodUID: string(pod.UID), labelContainerName: c.Name,
		},
		Annotations: map[string]string{annotationMessage: c.TerminationMessagePath},
		LogPath:     fmt.Sprintf("%s/%d.log", c.Name, attempt),
		Stdin:       c.Stdin, StdinOnce: c.StdinOnce, Tty: c.TTY,
		Linux: &cri.LinuxContainerConfig{Resources: n.resources(pod, c), SecurityContext: security},
	}, nil
}

// mounts are the container's volumes, its /etc/hosts and its termination message.
func (n *Node) mounts(pod *corev1.Pod, c *corev1.Container, images map[string]string, attempt uint32, ips []string, env []*cri.KeyValue) ([]*cri.Mount, error) {
	handler, err := n.handler(pod)
	if err != nil {
		return nil, err
	}
	var all []*cri.Mount
	hasHosts := false
	for index, m := range c.VolumeMounts {
		i := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 {
			return nil, configError{fmt.Errorf("volume %q is not among the pod's volumes", m.Name)}
		}
		hasHosts = hasHosts || filepath.Clean(m.MountPath) == "/etc/hosts"
		if v := pod.Spec.Volumes[i].Image; v != nil {
			mount, err := imageMount(v, images[m.Name], &m, asMap(env))
			if err != nil {
				return nil, err
			}
			all = append(all, mount)
			continue
		}
		source, err := n.mountSource(pod, &pod.Spec.Volumes[i], c, index, asMap(env))
		if err != nil {
			return nil, err
		}
		recursive, err := n.features.readOnlyBelow(&m, handler)
		if err != nil {
			return nil, err
		}
		all = append(all, &cri.Mount{
			ContainerPath: m.MountPath, HostPath: source, Readonly: m.ReadOnly || readOnlyVolume(&pod.Spec.Volumes[i]), Propagation: propagation(m.MountPropagation),
			RecursiveReadOnly: recursive,
		})
	}
	dir := filepath.Join(n.podDir(pod), "containers", c.Name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	if !hasHosts {
		hosts := filepath.Join(n.podDir(pod), "etc-hosts")
		if err := os.WriteFile(hosts, []byte(n.hostsFile(pod, ips)), 0o644); err != nil {
			return nil, err
		}
		all = append(all, &cri.Mount{ContainerPath: "/etc/hosts", HostPath: hosts})
	}
	if c.TerminationMessagePath != "" {
		path := filepath.Join(dir, strconv.Itoa(int(attempt)))
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			return nil, err
		}
		if err := os.Chmod(path, 0o666); err != nil {
			return nil, err
		}
		all = append(all, &cri.Mount{ContainerPath: c.TerminationMessagePath, HostPath: path})
	}
	return all, nil
}

// readOnlyVolume: what comes from the API is not for containers to change.
func readOnlyVolume(v *corev1.Volume) bool {
	return v.ConfigMap != nil || v.Secret != nil || v.DownwardAPI != nil || v.Projected != nil
}

func propagation(p *corev1.MountPropagationMode) cri.MountPropagation {
	switch {
	case p == nil:
		return cri.MountPropagation_PROPAGATION_PRIVATE
	case *p == corev1.MountPropagationHostToContainer:
		return cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER
	case *p == corev1.MountPropagationBidirectional:
		return cri.MountPropagation_PROPAGATION_BIDIRECTIONAL
	}
	return cri.MountPropagation_PROPAGATION_PRIVATE
}

// mountSource is a volume's directory, or where the part of it is mounted that a container's mount of an index names.
func (n *Node) mountSource(pod *corev1.Pod, v *corev1.Volume, c *corev1.Container, index int, env map[string]string) (string, error) {
	m := &c.VolumeMounts[index]
	base := n.volumeDir(pod, v)
	sub, err := subPath(m, env)
	if sub == "" || err != nil {
		return base, err
	}
	part := filepath.Join(n.podDir(pod), "volume-subpaths", v.Name, c.Name, strconv.Itoa(index))
	if err := mounts.Part(base, sub, part); err != nil {
		return "", fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q: %w", m.Name, c.Name, err)
	}
	return part, nil
}

// subPath is what of a volume is mounted, "" for all of it.
func subPath(m *corev1.VolumeMount, env map[string]string) (string, error) {
	sub := m.SubPath
	if m.SubPathExpr != "" {
		sub = expand(m.SubPathExpr, env)
		if strings.Contains(sub, "$(") {
			return "", configError{fmt.Errorf("failed to expand subPath for volumeMount %q", m.Name)}
		}
	}
	if filepath.IsAbs(sub) || slices.Contains(strings.Split(sub, "/"), "..") {
		return "", configError{fmt.Errorf("subPath of volumeMount %q must be relative and not contain '..'", m.Name)}
	}
	return sub, nil
}

func (n *Node) hostsFile(pod *corev1.Pod, ips []string) string {
	var b strings.Builder
	b.WriteString("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	b.WriteString("fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n")
	if pod.Spec.HostNetwork {
		if data, err := os.ReadFile("/etc/hosts"); err == nil {
			b.Reset()
			b.WriteString("# Kubernetes-managed hosts file (host network).\n" + string(data))
		}
	} else {
		name := n.hostname(pod)
		if pod.Spec.Subdomain != "" {
			name = name + "." + pod.Spec.Subdomain + "." + pod.Namespace + ".svc." + n.config.ClusterDomain + "\t" + name
		}
		for _, ip := range ips {
			b.WriteString(ip + "\t" + name + "\n")
		}
	}
	if len(pod.Spec.HostAliases) > 0 {
		b.WriteString("\n# Entries added by HostAliases.\n")
		for _, a := range pod.Spec.HostAliases {
			b.WriteString(a.IP + "\t" + strings.Join(a.Hostnames, "\t") + "\n")
		}
	}
	return b.String()
}
