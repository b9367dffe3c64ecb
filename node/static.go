package node

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"dhow/api/podspec"
)

// Annotations that tell where a pod comes from, as the kubelet writes them.
const (
	annotationSource = "kubernetes.io/config.source"
	annotationHash   = "kubernetes.io/config.hash"
)

// manifestsEvery is how often the directory of static pods is looked at.
const manifestsEvery = time.Second

// isMirror: the pod stands in the API for one that a manifest on the node made.
func isMirror(pod *corev1.Pod) bool {
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return mirror
}

// followManifests runs the pods of the manifests directory, which need no API server, and ends those whose file has
// gone or changed.
func (n *Node) followManifests(ctx context.Context) {
	tick := time.NewTicker(manifestsEvery)
	defer tick.Stop()
	complaints := map[string]string{}
	for {
		n.applyManifests(ctx, complaints)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// applyManifests looks once. complaints keeps it from telling the same about a file again and again.
func (n *Node) applyManifests(ctx context.Context, complaints map[string]string) {
	wanted, problems := n.readManifests()
	for path, err := range problems {
		if complaints[path] != err.Error() {
			n.log.Error("manifest of a static pod cannot be used", "file", path, "err", err)
			complaints[path] = err.Error()
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.workers {
		if w.static && wanted[w.uid] == nil {
			w.endStatic()
		}
	}
	for uid, pod := range wanted {
		if n.workers[uid] == nil && !n.nameTaken(pod) {
			n.startWorker(ctx, pod, true).nudge()
		}
	}
}

// nameTaken: an older form of the pod has not ended yet. The caller holds mu.
func (n *Node) nameTaken(pod *corev1.Pod) bool {
	for _, w := range n.workers {
		if w.static && w.pod.Namespace == pod.Namespace && w.pod.Name == pod.Name {
			return true
		}
	}
	return false
}

// readManifests are the static pods by UID, and what is wrong with the files of others.
func (n *Node) readManifests() (pods map[types.UID]*corev1.Pod, problems map[string]error) {
	pods, problems = map[types.UID]*corev1.Pod{}, map[string]error{}
	if n.config.Manifests == "" {
		return pods, problems
	}
	entries, err := os.ReadDir(n.config.Manifests)
	if errors.Is(err, os.ErrNotExist) {
		return pods, problems
	}
	if err != nil {
		problems[n.config.Manifests] = err
	}
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if strings.HasPrefix(e.Name(), ".") || ext != ".yaml" && ext != ".yml" && ext != ".json" {
			continue
		}
		path := filepath.Join(n.config.Manifests, e.Name())
		pod, err := n.readManifest(path)
		if err != nil {
			problems[path] = err
			continue
		}
		pods[pod.UID] = pod
	}
	return pods, problems
}

// readManifest makes a pod of a file: bound to this node, with defaults, and checked as the API server would.
func (n *Node) readManifest(path string) (*corev1.Pod, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict(data, pod); err != nil {
		return nil, err
	}
	if pod.Kind != "Pod" || pod.APIVersion != "v1" {
		return nil, fmt.Errorf("holds %q of %q, not a Pod of v1", pod.Kind, pod.APIVersion)
	}
	sum := sha256.Sum256(append([]byte(path+"\x00"+n.config.Name+"\x00"), data...))
	hash := hex.EncodeToString(sum[:16])
	pod.UID, pod.Name = types.UID(hash), pod.Name+"-"+n.config.Name
	pod.Namespace = cmp.Or(pod.Namespace, corev1.NamespaceDefault)
	pod.Spec.NodeName = n.config.Name
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, annotationSource, "file")
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, annotationHash, hash)
	pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute})
	podspec.DefaultPod(pod)
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: podspec.QOSClass(pod)}
	return pod, checkStatic(pod)
}

// checkStatic refuses what is wrong, and what only the API could give.
func checkStatic(pod *corev1.Pod) error {
	if pod.Spec.ServiceAccountName != "" {
		return errors.New("spec.serviceAccountName: static pods can have none")
	}
	for i, v := range pod.Spec.Volumes {
		if v.ConfigMap != nil || v.Secret != nil || v.Projected != nil {
			return fmt.Errorf("spec.volumes[%d]: static pods can use nothing that is in the API", i)
		}
	}
	return podspec.Validate(&pod.Spec, &pod.ObjectMeta, field.NewPath("spec")).ToAggregate()
}

// endStatic has a worker end its pod, within its grace. The caller holds the node's mu.
func (w *worker) endStatic() {
	w.mu.Lock()
	pod := w.pod
	w.mu.Unlock()
	if pod.DeletionTimestamp != nil {
		return
	}
	grace := int64(30)
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		grace = *pod.Spec.TerminationGracePeriodSeconds
	}
	ending := pod.DeepCopy()
	at := metav1.NewTime(time.Now().Add(time.Duration(grace) * time.Second))
	ending.DeletionTimestamp, ending.DeletionGracePeriodSeconds = &at, &grace
	w.update(ending)
}
