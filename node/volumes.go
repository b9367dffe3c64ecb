package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/internal/mounts"
)

// podDir is where a pod's files lie.
func (n *Node) podDir(pod *corev1.Pod) string {
	return filepath.Join(n.config.Volumes, string(pod.UID))
}

// volumeDir is where a volume of the pod's own lies; a hostPath lies where it says.
func (n *Node) volumeDir(pod *corev1.Pod, v *corev1.Volume) string {
	if v.HostPath != nil {
		return v.HostPath.Path
	}
	return filepath.Join(n.podDir(pod), "volumes", v.Name)
}

// setUpVolumes makes the pod's volumes, or brings the files of ConfigMaps and the like up to date.
func (n *Node) setUpVolumes(ctx context.Context, pod *corev1.Pod, ips []string) error {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if err := n.setUpVolume(ctx, pod, v, ips); err != nil {
			return fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", v.Name, err)
		}
	}
	return nil
}

func (n *Node) setUpVolume(ctx context.Context, pod *corev1.Pod, v *corev1.Volume, ips []string) error {
	switch {
	case v.EmptyDir != nil:
		return n.emptyDir(pod, v)
	case v.HostPath != nil:
		return hostPath(v.HostPath)
	case v.Image != nil:
		return nil // containers that mount it have it pulled, and the runtime mounts it
	case v.ConfigMap != nil, v.Secret != nil, v.DownwardAPI != nil, v.Projected != nil:
		files, err := n.volumeFiles(ctx, pod, v, ips)
		if err != nil {
			return err
		}
		dir := n.volumeDir(pod, v)
		if err := n.memoryBacked(dir, v); err != nil {
			return err
		}
		return writeAtomically(dir, files, fsGroup(pod))
	default:
		return errors.New("this kind of volume is not supported (emptyDir, hostPath, image, configMap, secret, downwardAPI and projected are)")
	}
}

func fsGroup(pod *corev1.Pod) int {
	if s := pod.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		return int(*s.FSGroup)
	}
	return -1
}

// emptyDir is a directory that all may write to, or a tmpfs.
func (n *Node) emptyDir(pod *corev1.Pod, v *corev1.Volume) error {
	dir := n.volumeDir(pod, v)
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if v.EmptyDir.Medium == corev1.StorageMediumMemory {
		options := "mode=0777"
		if limit := v.EmptyDir.SizeLimit; limit != nil && limit.Cmp(resource.Quantity{}) > 0 {
			options += fmt.Sprintf(",size=%d", limit.Value())
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
			return fmt.Errorf("mount tmpfs: %w", err)
		}
	}
	mode := fs.FileMode(0o777)
	if group := fsGroup(pod); group >= 0 {
		if err := os.Chown(dir, -1, group); err != nil {
			return err
		}
		mode |= fs.ModeSetgid
	}
	return os.Chmod(dir, mode)
}

// memoryBacked keeps files with secrets off the disk.
func (n *Node) memoryBacked(dir string, v *corev1.Volume) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if v.Secret == nil && v.Projected == nil || isMountPoint(dir) {
		return nil
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	return nil
}

// isMountPoint: its device differs from its parent's.
func isMountPoint(dir string) bool {
	var st, parent syscall.Stat_t
	return syscall.Stat(dir, &st) == nil && syscall.Stat(filepath.Dir(dir), &parent) == nil && st.Dev != parent.Dev
}

// hostPath checks that the path is what the volume says, and makes it where it should.
func hostPath(h *corev1.HostPathVolumeSource) error {
	kind := corev1.HostPathUnset
	if h.Type != nil {
		kind = *h.Type
	}
	info, err := os.Stat(h.Path)
	if errors.Is(err, fs.ErrNotExist) {
		switch kind {
		case corev1.HostPathUnset, corev1.HostPathDirectoryOrCreate:
			return os.MkdirAll(h.Path, 0o755)
		case corev1.HostPathFileOrCreate:
			f, err := os.OpenFile(h.Path, os.O_CREATE, 0o644)
			if err != nil {
				return err
			}
			return f.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("hostPath type check failed: %w", err)
	}
	mode := info.Mode()
	fits := map[corev1.HostPathType]bool{
		corev1.HostPathUnset: true, corev1.HostPathDirectory: mode.IsDir(), corev1.HostPathDirectoryOrCreate: mode.IsDir(),
		corev1.HostPathFile: mode.IsRegular(), corev1.HostPathFileOrCreate: mode.IsRegular(), corev1.HostPathSocket: mode&fs.ModeSocket != 0,
		corev1.HostPathCharDev: mode&fs.ModeCharDevice != 0, corev1.HostPathBlockDev: mode&fs.ModeDevice != 0 && mode&fs.ModeCharDevice == 0,
	}
	if !fits[kind] {
		return fmt.Errorf("hostPath type check failed: %s is not a %s", h.Path, kind)
	}
	return nil
}

// file is one entry of a volume made of API objects.
type file struct {
	data  []byte
	mode  fs.FileMode
	owner *int64 // root if nil
}

func (n *Node) volumeFiles(ctx context.Context, pod *corev1.Pod, v *corev1.Volume, ips []string) (map[string]file, error) {
	files := map[string]file{}
	switch {
	case v.ConfigMap != nil:
		return files, n.configMapFiles(files, pod, v.ConfigMap.Name, v.ConfigMap.Items, v.ConfigMap.DefaultMode, v.ConfigMap.Optional)
	case v.Secret != nil:
		return files, n.secretFiles(files, pod, v.Secret.SecretName, v.Secret.Items, v.Secret.DefaultMode, v.Secret.Optional)
	case v.DownwardAPI != nil:
		return files, n.downwardFiles(files, pod, v.DownwardAPI.Items, v.DownwardAPI.DefaultMode, ips)
	}
	for _, source := range v.Projected.Sources {
		mode := v.Projected.DefaultMode
		var err error
		switch {
		case source.ConfigMap != nil:
			err = n.configMapFiles(files, pod, source.ConfigMap.Name, source.ConfigMap.Items, mode, source.ConfigMap.Optional)
		case source.Secret != nil:
			err = n.secretFiles(files, pod, source.Secret.Name, source.Secret.Items, mode, source.Secret.Optional)
		case source.DownwardAPI != nil:
			err = n.downwardFiles(files, pod, source.DownwardAPI.Items, mode, ips)
		case source.ServiceAccountToken != nil:
			err = n.tokenFile(ctx, files, pod, v.Name, source.ServiceAccountToken, mode)
		default:
			err = errors.New("this kind of projected source is not supported")
		}
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (n *Node) configMapFiles(files map[string]file, pod *corev1.Pod, name string, items []corev1.KeyToPath, mode *int32, optional *bool) error {
	cm, err := n.configMaps.ConfigMaps(pod.Namespace).Get(name)
	if err != nil {
		if isTrue(optional) {
			return nil
		}
		return fmt.Errorf("configmap %q not found", name)
	}
	data := map[string][]byte{}
	for key, value := range cm.Data {
		data[key] = []byte(value)
	}
	for key, value := range cm.BinaryData {
		data[key] = value
	}
	return choose(files, data, items, mode, optional, "configmap")
}

func (n *Node) secretFiles(files map[string]file, pod *corev1.Pod, name string, items []corev1.KeyToPath, mode *int32, optional *bool) error {
	secret, err := n.secrets.Secrets(pod.Namespace).Get(name)
	if err != nil {
		if isTrue(optional) {
			return nil
		}
		return fmt.Errorf("secret %q not found", name)
	}
	return choose(files, secret.Data, items, mode, optional, "secret")
}

// choose takes all keys under their names, or those that items name under the paths they give.
func choose(files map[string]file, data map[string][]byte, items []corev1.KeyToPath, mode *int32, optional *bool, kind string) error {
	if len(items) == 0 {
		for key, value := range data {
			files[key] = file{data: value, mode: modeOf(nil, mode)}
		}
		return nil
	}
	for _, item := range items {
		value, found := data[item.Key]
		if !found {
			if isTrue(optional) {
				continue
			}
			return fmt.Errorf("%s references non-existent config key: %s", kind, item.Key)
		}
		files[filepath.Clean(item.Path)] = file{data: value, mode: modeOf(item.Mode, mode)}
	}
	return nil
}

func modeOf(own, common *int32) fs.FileMode {
	for _, m := range []*int32{own, common} {
		if m != nil {
			return fs.FileMode(*m) & fs.ModePerm
		}
	}
	return 0o644
}

func (n *Node) downwardFiles(files map[string]file, pod *corev1.Pod, items []corev1.DownwardAPIVolumeFile, mode *int32, ips []string) error {
	for _, item := range items {
		var value string
		var err error
		if item.FieldRef != nil {
			value, err = n.fieldValue(pod, item.FieldRef.FieldPath, ips)
		} else if item.ResourceFieldRef != nil {
			value, err = n.resourceValue(pod, nil, item.ResourceFieldRef)
		}
		if err != nil {
			return err
		}
		files[filepath.Clean(item.Path)] = file{data: []byte(value), mode: modeOf(item.Mode, mode)}
	}
	return nil
}

// tokenFile is a service-account token bound to the pod; tokens keeps it until most of its time is over.
func (n *Node) tokenFile(ctx context.Context, files map[string]file, pod *corev1.Pod, volume string, p *corev1.ServiceAccountTokenProjection, mode *int32) error {
	seconds := int64(3600)
	if p.ExpirationSeconds != nil {
		seconds = *p.ExpirationSeconds
	}
	text, err := n.tokens.get(tokenKey{pod.UID, volume, p.Path}, func() (string, metav1.Time, error) {
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: &seconds,
			BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
		}}
		if p.Audience != "" {
			request.Spec.Audiences = []string{p.Audience}
		}
		account := pod.Spec.ServiceAccountName
		if account == "" {
			account = "default"
		}
		made, err := n.config.Client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, account, request, metav1.CreateOptions{})
		if err != nil {
			return "", metav1.Time{}, fmt.Errorf("failed to fetch token: %w", err)
		}
		return made.Status.Token, made.Status.ExpirationTimestamp, nil
	})
	if err != nil {
		return err
	}
	f := file{data: []byte(text), mode: modeOf(nil, mode), owner: onlyUser(pod)}
	if f.owner != nil || fsGroup(pod) >= 0 {
		f.mode = 0o600 // readable to the one who runs, and to the group when the volume gets it
	}
	files[filepath.Clean(p.Path)] = f
	return nil
}

// onlyUser is the user that all containers run as, where the pod says so; nil otherwise.
func onlyUser(pod *corev1.Pod) *int64 {
	var common, only *int64
	if s := pod.Spec.SecurityContext; s != nil {
		common = s.RunAsUser
	}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		user := common
		if s := c.SecurityContext; s != nil && s.RunAsUser != nil {
			user = s.RunAsUser
		}
		if user == nil || only != nil && *only != *user {
			return nil
		}
		only = user
	}
	return only
}

// tearDownVolumes unmounts and removes what the pod had. Nothing is removed while something is mounted there: it may be a
// part of what others have.
func (n *Node) tearDownVolumes(dir string) error {
	if err := mounts.UnmountBelow(dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
