package nodes

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	certificateslisters "k8s.io/client-go/listers/certificates/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	resourcelisters "k8s.io/client-go/listers/resource/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-helpers/storage/ephemeral"

	"dhow/api/podref"
)

// relations find out what belongs to a node. They follow references from the node's own pods, which are few, whenever
// they are asked: nothing has to be kept, and a pod counts as soon as its agent can see it.
//
//	node <- pod <- secret, config map, service account, resource claim
//	        pod <- claim <- volume <- secret
//	node <- volume attachment, resource slice, pod certificate request
type relations struct {
	pods        cache.Indexer // by byNode
	volumes     cache.Indexer // by byClaim
	podLister   corelisters.PodLister
	pvLister    corelisters.PersistentVolumeLister
	attachments storagelisters.VolumeAttachmentLister
	slices      resourcelisters.ResourceSliceLister
	requests    certificateslisters.PodCertificateRequestLister
	byKind      map[string]rule
}

// Indexes of pods and of volumes.
const (
	byNode  = "dhow.node-authorizer.node"
	byClaim = "dhow.node-authorizer.claim"
)

func newRelations(f informers.SharedInformerFactory) (*relations, error) {
	core := f.Core().V1()
	for _, index := range []struct {
		of   cache.SharedIndexInformer
		name string
		keys cache.IndexFunc
	}{
		{core.Pods().Informer(), byNode, nodeOfPod}, {core.PersistentVolumes().Informer(), byClaim, claimOfVolume},
	} {
		if index.of.GetIndexer().GetIndexers()[index.name] != nil {
			continue // another authorizer of the same factory
		}
		if err := index.of.AddIndexers(cache.Indexers{index.name: index.keys}); err != nil {
			return nil, fmt.Errorf("index for the node authorizer: %w", err)
		}
	}
	r := &relations{
		pods: core.Pods().Informer().GetIndexer(), volumes: core.PersistentVolumes().Informer().GetIndexer(),
		podLister: core.Pods().Lister(), pvLister: core.PersistentVolumes().Lister(),
		attachments: f.Storage().V1().VolumeAttachments().Lister(), slices: f.Resource().V1().ResourceSlices().Lister(),
		requests: f.Certificates().V1().PodCertificateRequests().Lister(),
	}
	r.byKind = rulesOf(r)
	return r, nil
}

func nodeOfPod(obj any) ([]string, error) {
	if pod, ok := obj.(*corev1.Pod); ok && pod.Spec.NodeName != "" {
		return []string{pod.Spec.NodeName}, nil
	}
	return nil, nil
}

func claimOfVolume(obj any) ([]string, error) {
	if v, ok := obj.(*corev1.PersistentVolume); ok && v.Spec.ClaimRef != nil {
		return []string{v.Spec.ClaimRef.Namespace + "/" + v.Spec.ClaimRef.Name}, nil
	}
	return nil, nil
}

// anyPod says whether uses holds for a pod of the node in the namespace (in any if ""). Mirror pods, which nodes make
// themselves, give them nothing.
func (r *relations) anyPod(node, namespace string, uses func(*corev1.Pod) bool) bool {
	found, err := r.pods.ByIndex(byNode, node)
	if err != nil {
		return false // there is such an index
	}
	return slices.ContainsFunc(found, func(obj any) bool {
		pod, ok := obj.(*corev1.Pod)
		if !ok || namespace != "" && pod.Namespace != namespace {
			return false
		}
		_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
		return !mirror && uses(pod)
	})
}

func (r *relations) pod(node, namespace, name string) bool {
	pod, err := r.podLister.Pods(namespace).Get(name)
	return err == nil && pod.Spec.NodeName == node
}

func (r *relations) account(node, namespace, name string) bool {
	return r.anyPod(node, namespace, func(pod *corev1.Pod) bool { return pod.Spec.ServiceAccountName == name })
}

func (r *relations) configMap(node, namespace, name string) bool {
	return r.anyPod(node, namespace, func(pod *corev1.Pod) bool {
		for used := range podref.ConfigMaps(&pod.Spec) {
			if used == name {
				return true
			}
		}
		return false
	})
}

// secret: used by a pod, or by a volume that a pod uses, which may be of another namespace.
func (r *relations) secret(node, namespace, name string) bool {
	direct := r.anyPod(node, namespace, func(pod *corev1.Pod) bool {
		for used := range podref.Secrets(&pod.Spec) {
			if used == name {
				return true
			}
		}
		return false
	})
	return direct || r.anyPod(node, "", func(pod *corev1.Pod) bool {
		return slices.ContainsFunc(claimsOf(pod), func(claim string) bool {
			found, err := r.volumes.ByIndex(byClaim, pod.Namespace+"/"+claim)
			return err == nil && slices.ContainsFunc(found, func(obj any) bool {
				v, ok := obj.(*corev1.PersistentVolume)
				return ok && slices.Contains(secretsOf(v), corev1.SecretReference{Namespace: namespace, Name: name})
			})
		})
	})
}

func (r *relations) claim(node, namespace, name string) bool {
	return r.anyPod(node, namespace, func(pod *corev1.Pod) bool { return slices.Contains(claimsOf(pod), name) })
}

func (r *relations) volume(node, _, name string) bool {
	v, err := r.pvLister.Get(name)
	return err == nil && v.Spec.ClaimRef != nil && r.claim(node, v.Spec.ClaimRef.Namespace, v.Spec.ClaimRef.Name)
}

func claimsOf(pod *corev1.Pod) []string {
	var all []string
	for i := range pod.Spec.Volumes {
		switch v := &pod.Spec.Volumes[i]; {
		case v.PersistentVolumeClaim != nil:
			all = append(all, v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			all = append(all, ephemeral.VolumeClaimName(pod, v))
		}
	}
	return all
}

func (r *relations) resourceClaim(node, namespace, name string) bool {
	return r.anyPod(node, namespace, func(pod *corev1.Pod) bool {
		for _, c := range pod.Spec.ResourceClaims {
			if c.ResourceClaimName != nil && *c.ResourceClaimName == name {
				return true
			}
		}
		for _, s := range pod.Status.ResourceClaimStatuses {
			if s.ResourceClaimName != nil && *s.ResourceClaimName == name && fromTemplate(pod, s.Name) {
				return true
			}
		}
		extended := pod.Status.ExtendedResourceClaimStatus
		return extended != nil && name != "" && extended.ResourceClaimName == name
	})
}

// fromTemplate: the specification has such a claim, and leaves its name to who makes it.
func fromTemplate(pod *corev1.Pod, entry string) bool {
	return slices.ContainsFunc(pod.Spec.ResourceClaims, func(c corev1.PodResourceClaim) bool {
		return c.Name == entry && c.ResourceClaimTemplateName != nil
	})
}

func (r *relations) attachment(node, _, name string) bool {
	a, err := r.attachments.Get(name)
	return err == nil && a.Spec.NodeName == node
}

func (r *relations) resourceSlice(node, _, name string) bool {
	s, err := r.slices.Get(name)
	return err == nil && s.Spec.NodeName != nil && *s.Spec.NodeName == node
}

func (r *relations) certificateRequest(node, namespace, name string) bool {
	c, err := r.requests.PodCertificateRequests(namespace).Get(name)
	return err == nil && string(c.Spec.NodeName) == node
}

// secretsOf are those that a node needs to mount a volume; those of its controller are none of its business. Without a
// namespace they are of the claim's.
func secretsOf(v *corev1.PersistentVolume) []corev1.SecretReference {
	var all []corev1.SecretReference
	add := func(refs ...*corev1.SecretReference) {
		for _, ref := range refs {
			if ref == nil || ref.Name == "" {
				continue
			}
			one := *ref
			if one.Namespace == "" && v.Spec.ClaimRef != nil {
				one.Namespace = v.Spec.ClaimRef.Namespace
			}
			all = append(all, one)
		}
	}
	switch s := &v.Spec.PersistentVolumeSource; {
	case s.AzureFile != nil:
		ref := &corev1.SecretReference{Name: s.AzureFile.SecretName}
		if s.AzureFile.SecretNamespace != nil {
			ref.Namespace = *s.AzureFile.SecretNamespace
		}
		add(ref)
	case s.CephFS != nil:
		add(s.CephFS.SecretRef)
	case s.Cinder != nil:
		add(s.Cinder.SecretRef)
	case s.FlexVolume != nil:
		add(s.FlexVolume.SecretRef)
	case s.RBD != nil:
		add(s.RBD.SecretRef)
	case s.ScaleIO != nil:
		add(s.ScaleIO.SecretRef)
	case s.ISCSI != nil:
		add(s.ISCSI.SecretRef)
	case s.StorageOS != nil && s.StorageOS.SecretRef != nil:
		add(&corev1.SecretReference{Namespace: s.StorageOS.SecretRef.Namespace, Name: s.StorageOS.SecretRef.Name})
	case s.CSI != nil:
		add(s.CSI.NodePublishSecretRef, s.CSI.NodeStageSecretRef, s.CSI.NodeExpandSecretRef)
	}
	return all
}
