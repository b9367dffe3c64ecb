package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-base/version"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	leaseSeconds = 40
	renewEvery   = 10 * time.Second
	statusEvery  = time.Minute
)

// machineCapacity is what the machine has.
func machineCapacity(maxPods int, dir string) (corev1.ResourceList, error) {
	disk, err := diskBytes(dir)
	if err != nil {
		return nil, err
	}
	memory, err := procValue("/proc/meminfo", "MemTotal:")
	if err != nil {
		return nil, err
	}
	return corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(memory*1024, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(int64(maxPods), resource.DecimalSI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(disk, resource.BinarySI),
	}, nil
}

// diskBytes is the size of the file system that will hold dir.
func diskBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	for {
		err := syscall.Statfs(dir, &st)
		if err == nil {
			return int64(st.Blocks) * st.Bsize, nil
		}
		if !errors.Is(err, syscall.ENOENT) || dir == "/" {
			return 0, fmt.Errorf("size of the disk below %s: %w", dir, err)
		}
		dir = filepath.Dir(dir)
	}
}

// procValue is the number in kB behind a key of a /proc file.
func procValue(path, key string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == key {
			return strconv.ParseInt(fields[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, key)
}

// register makes the Node object or brings it up to date, waits for its pod addresses, and says that it is Ready.
func (n *Node) register(ctx context.Context) error {
	nodes := n.config.Client.CoreV1().Nodes()
	have, err := nodes.Get(ctx, n.config.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		have, err = nodes.Create(ctx, n.object(), metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	if err := n.addLabels(ctx, have); err != nil {
		return err
	}
	if err := n.registerStorage(ctx, have); err != nil {
		return err
	}
	cidrs, err := n.awaitCIDRs(ctx)
	if err != nil {
		return err
	}
	if n.config.SetPodCIDRs != nil {
		if err := n.config.SetPodCIDRs(ctx, cidrs); err != nil {
			return err
		}
	}
	return n.updateStatus(ctx)
}

func (n *Node) object() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.config.Name, Labels: n.labels()},
		Spec:       corev1.NodeSpec{Taints: n.config.Taints},
	}
}

func (n *Node) labels() map[string]string {
	labels := map[string]string{
		corev1.LabelHostname: n.config.Name, corev1.LabelOSStable: runtime.GOOS, corev1.LabelArchStable: runtime.GOARCH,
	}
	for key, value := range n.config.Labels {
		labels[key] = value
	}
	return labels
}

// addLabels gives a node that was there before the labels it lacks.
func (n *Node) addLabels(ctx context.Context, have *corev1.Node) error {
	want := have.DeepCopy()
	for key, value := range n.labels() {
		metav1.SetMetaDataLabel(&want.ObjectMeta, key, value)
	}
	if apiequality.Semantic.DeepEqual(want.Labels, have.Labels) {
		return nil
	}
	_, err := n.config.Client.CoreV1().Nodes().Update(ctx, want, metav1.UpdateOptions{})
	return err
}

// awaitCIDRs waits until a controller has given the node addresses for its pods.
func (n *Node) awaitCIDRs(ctx context.Context) ([]netip.Prefix, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if node, err := n.nodes.Get(n.config.Name); err == nil && len(node.Spec.PodCIDRs) > 0 {
			return parsePrefixes(node.Spec.PodCIDRs)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func parsePrefixes(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("spec.podCIDRs: %w", err)
		}
		all = append(all, p)
	}
	return all, nil
}

// updateStatus writes the node's status if it has changed.
func (n *Node) updateStatus(ctx context.Context) error {
	nodes := n.config.Client.CoreV1().Nodes()
	have, err := nodes.Get(ctx, n.config.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	want := have.DeepCopy()
	if err := n.fillStatus(ctx, &want.Status); err != nil {
		return err
	}
	_, err = nodes.UpdateStatus(ctx, want, metav1.UpdateOptions{})
	return err
}

func (n *Node) fillStatus(ctx context.Context, s *corev1.NodeStatus) error {
	s.Capacity, s.Allocatable = n.allocatable, n.allocatable
	s.Addresses = nil
	for _, ip := range n.config.NodeIPs {
		s.Addresses = append(s.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip.String()})
	}
	s.Addresses = append(s.Addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: n.config.Name})
	if n.config.Listener != nil {
		if a, err := netip.ParseAddrPort(n.config.Listener.Addr().String()); err == nil {
			s.DaemonEndpoints.KubeletEndpoint.Port = int32(a.Port())
		}
	}
	info, err := n.systemInfo(ctx)
	if err != nil {
		return err
	}
	s.NodeInfo = info
	if s.Images, err = n.images(ctx); err != nil {
		return err
	}
	n.setRuntime(ctx, s)
	return nil
}

func (n *Node) systemInfo(ctx context.Context) (corev1.NodeSystemInfo, error) {
	v, err := n.config.Runtime.Version(ctx)
	if err != nil {
		return corev1.NodeSystemInfo{}, err
	}
	trim := func(path string) string {
		data, _ := os.ReadFile(path) // absent on small systems
		return strings.TrimSpace(string(data))
	}
	osName := "Linux"
	for line := range strings.Lines(trim("/etc/os-release")) {
		if name, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			osName = strings.Trim(strings.TrimSpace(name), `"`)
		}
	}
	return corev1.NodeSystemInfo{
		MachineID: trim("/etc/machine-id"), SystemUUID: trim("/sys/class/dmi/id/product_uuid"), BootID: trim("/proc/sys/kernel/random/boot_id"),
		KernelVersion: trim("/proc/sys/kernel/osrelease"), OSImage: osName, OperatingSystem: runtime.GOOS, Architecture: runtime.GOARCH,
		ContainerRuntimeVersion: v.RuntimeName + "://" + v.RuntimeVersion, KubeletVersion: version.Get().GitVersion,
	}, nil
}

// mostImages is how many a status lists, as upstream.
const mostImages = 50

func (n *Node) images(ctx context.Context) ([]corev1.ContainerImage, error) {
	list, err := n.config.Images.ListImages(ctx)
	if err != nil {
		return nil, err
	}
	var images []corev1.ContainerImage
	for _, i := range list[:min(len(list), mostImages)] {
		images = append(images, corev1.ContainerImage{Names: append(i.RepoDigests, i.RepoTags...), SizeBytes: int64(i.Size)})
	}
	return images, nil
}

// setRuntime tells how the runtime is, and what it can; while it does not answer, what it could.
func (n *Node) setRuntime(ctx context.Context, s *corev1.NodeStatus) {
	said, err := n.config.Runtime.Status(ctx)
	if err == nil {
		n.features.learn(said)
	}
	setConditions(s, said.GetStatus(), err)
	n.features.status(s)
}

// setConditions: the node is Ready where the runtime is.
func setConditions(s *corev1.NodeStatus, status *cri.RuntimeStatus, err error) {
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "dhow is posting ready status"}
	if err != nil {
		ready.Status, ready.Reason, ready.Message = corev1.ConditionFalse, "KubeletNotReady", "container runtime: "+err.Error()
	}
	for _, c := range status.GetConditions() {
		if !c.Status {
			ready.Status, ready.Reason, ready.Message = corev1.ConditionFalse, "KubeletNotReady", c.Type+": "+c.Message
		}
	}
	for _, c := range []corev1.NodeCondition{
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientMemory", Message: "there is sufficient memory available"},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasNoDiskPressure", Message: "there is no disk pressure"},
		{Type: corev1.NodePIDPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientPID", Message: "there are sufficient process ids available"},
		ready,
	} {
		setNodeCondition(s, c)
	}
}

// setNodeCondition keeps the time of the last transition.
func setNodeCondition(s *corev1.NodeStatus, c corev1.NodeCondition) {
	now := metav1.Now()
	c.LastHeartbeatTime, c.LastTransitionTime = now, now
	for i, old := range s.Conditions {
		if old.Type != c.Type {
			continue
		}
		if old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		s.Conditions[i] = c
		return
	}
	s.Conditions = append(s.Conditions, c)
}

// reportStatus keeps the status fresh: every minute, and soon after the cluster has taken the node for lost.
func (n *Node) reportStatus(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	written := time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if time.Since(written) < statusEvery && !n.takenForLost() {
			continue
		}
		written = time.Now()
		if err := n.updateStatus(ctx); err != nil && ctx.Err() == nil {
			n.log.Debug("node status not written; it is tried again", "err", err)
		}
	}
}

// takenForLost: the node has not been heard of for so long that nothing is known of it, as after a suspend.
func (n *Node) takenForLost() bool {
	node, err := n.nodes.Get(n.config.Name)
	if err != nil {
		return false
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionUnknown
		}
	}
	return false
}

// renewLease says every ten seconds that the node lives.
func (n *Node) renewLease(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		if err := n.renewOnce(ctx); err != nil && ctx.Err() == nil {
			n.log.Debug("lease not renewed; it is tried again", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) renewOnce(ctx context.Context) error {
	leases := n.config.Client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	now, seconds := metav1.NowMicro(), int32(leaseSeconds)
	lease, err := leases.Get(ctx, n.config.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = leases.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: n.config.Name},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &n.config.Name, LeaseDurationSeconds: &seconds, RenewTime: &now},
		}, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime = &n.config.Name, &seconds, &now
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}
