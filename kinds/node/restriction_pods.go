package node

import (
	"errors"
	"fmt"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/component-helpers/storage/ephemeral"

	"dhow/api/podref"
)

// asked: the answer is about what was asked for, not about the right to ask.
func asked(err error) bool { return apierrors.IsNotFound(err) }

func (r *restriction) pod(node string, a admission.Attributes) error {
	switch a.GetSubresource() {
	case "":
		return r.wholePod(node, a)
	case "status":
		return podStatus(node, a)
	case "eviction":
		return r.evict(node, a)
	}
	return fmt.Errorf("unexpected pod subresource %q, only 'status' and 'eviction' are allowed", a.GetSubresource())
}

func (r *restriction) wholePod(node string, a admission.Attributes) error {
	switch a.GetOperation() {
	case admission.Create:
		pod, err := object[*corev1.Pod](a.GetObject())
		if err != nil {
			return err
		}
		return r.mirror(node, pod)
	case admission.Delete:
		return r.bound(a, a.GetName(), node, fmt.Errorf("node %q can only delete pods with spec.nodeName set to itself", node))
	}
	return fmt.Errorf("unexpected operation %q, node %q can only create and delete mirror pods", a.GetOperation(), node)
}

// bound refuses unless the pod is on the node.
func (r *restriction) bound(a admission.Attributes, pod, node string, refusal error) error {
	existing, err := r.pods.Pods(a.GetNamespace()).Get(pod)
	if err != nil {
		return err
	}
	if existing.Spec.NodeName != node {
		return refusal
	}
	return nil
}

// mirror: the pods that a node makes show static pods that it runs anyhow.
func (r *restriction) mirror(node string, pod *corev1.Pod) error {
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; !mirror {
		return fmt.Errorf("pod does not have %q annotation, node %q can only create mirror pods", corev1.MirrorPodAnnotationKey, node)
	}
	if pod.Spec.NodeName != node {
		return fmt.Errorf("node %q can only create pods with spec.nodeName set to itself", node)
	}
	if err := r.owner(node, pod); err != nil {
		return err
	}
	what, err := podref.First(&pod.Spec)
	if err != nil {
		return fmt.Errorf("error checking mirror pod for API references: %w", err)
	}
	if what != "" {
		return fmt.Errorf("node %q can not create pods that reference %s", node, what)
	}
	return nil
}

func (r *restriction) owner(node string, pod *corev1.Pod) error {
	const own = "node %q can only create pods with an owner reference set to itself"
	switch {
	case len(pod.OwnerReferences) > 1:
		return fmt.Errorf("node %q can only create pods with a single owner reference set to itself", node)
	case len(pod.OwnerReferences) == 0:
		return fmt.Errorf(own, node)
	}
	owner := pod.OwnerReferences[0]
	switch {
	case owner.APIVersion != "v1" || owner.Kind != "Node" || owner.Name != node:
		return fmt.Errorf(own, node)
	case owner.Controller == nil || !*owner.Controller:
		return fmt.Errorf("node %q can only create pods with a controller owner reference set to itself", node)
	case owner.BlockOwnerDeletion != nil && *owner.BlockOwnerDeletion:
		return fmt.Errorf("node %q must not set blockOwnerDeletion on an owner reference", node)
	}
	n, err := r.nodes.Get(node)
	switch {
	case apierrors.IsNotFound(err):
		return err
	case err != nil:
		return fmt.Errorf("error looking up node %s to verify uid: %w", node, err)
	case owner.UID != n.UID:
		return fmt.Errorf("node %s UID mismatch: expected %s got %s", node, owner.UID, n.UID)
	}
	return nil
}

func podStatus(node string, a admission.Attributes) error {
	if a.GetOperation() != admission.Update {
		return fmt.Errorf("unexpected operation %q", a.GetOperation())
	}
	old, err := object[*corev1.Pod](a.GetOldObject())
	if err != nil {
		return err
	}
	if old.Spec.NodeName != node {
		return fmt.Errorf("node %q can only update pod status for pods with spec.nodeName set to itself", node)
	}
	pod, err := object[*corev1.Pod](a.GetObject())
	if err != nil {
		return err
	}
	same := apiequality.Semantic.DeepEqual
	switch {
	case stale(pod, old):
		return nil
	case !same(old.Labels, pod.Labels):
		return fmt.Errorf("node %q cannot update labels through pod status", node)
	case !same(old.Status.ResourceClaimStatuses, pod.Status.ResourceClaimStatuses):
		return fmt.Errorf("node %q cannot update resource claim statues", node)
	case !same(old.Status.ExtendedResourceClaimStatus, pod.Status.ExtendedResourceClaimStatus):
		return fmt.Errorf("node %q cannot update extended resource claim status", node)
	}
	return nil
}

func (r *restriction) evict(node string, a admission.Attributes) error {
	if a.GetOperation() != admission.Create {
		return fmt.Errorf("unexpected operation %s", a.GetOperation())
	}
	eviction, err := object[*policyv1.Eviction](a.GetObject())
	if err != nil {
		return err
	}
	name := a.GetName()
	if name == "" {
		name = eviction.Name
	}
	if name == "" {
		return errors.New("could not determine pod from request data")
	}
	return r.bound(a, name, node, fmt.Errorf("node %s can only evict pods with spec.nodeName set to itself", node))
}

// token: a node asks for tokens of accounts only in the name of a pod that it runs, for whom that pod wants them.
func (r *restriction) token(node string, a admission.Attributes) error {
	if a.GetOperation() != admission.Create || a.GetSubresource() != "token" {
		return nil
	}
	request, err := object[*authenticationv1.TokenRequest](a.GetObject())
	if err != nil {
		return err
	}
	ref := request.Spec.BoundObjectRef
	switch {
	case ref == nil || ref.APIVersion != "v1" || ref.Kind != "Pod" || ref.Name == "":
		return errors.New("node requested token not bound to a pod")
	case ref.UID == "":
		return errors.New("node requested token with a pod binding without a uid")
	}
	pod, err := r.pods.Pods(a.GetNamespace()).Get(ref.Name)
	switch {
	case err != nil:
		return err
	case ref.UID != pod.UID:
		return fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID)
	case pod.Spec.NodeName != node:
		return errors.New("node requested token bound to a pod scheduled on a different node")
	}
	return r.audience(a, request.Spec.Audiences, pod)
}

func (r *restriction) audience(a admission.Attributes, audiences []string, pod *corev1.Pod) error {
	if len(audiences) > 1 {
		return errors.New("node may only request 0 or 1 audiences")
	}
	audience := ""
	if len(audiences) == 1 {
		audience = audiences[0]
	}
	var failed []error
	for i := range pod.Spec.Volumes {
		wants, err := r.wants(pod, &pod.Spec.Volumes[i], audience)
		if wants {
			return nil
		}
		failed = append(failed, err)
	}
	if err := utilerrors.NewAggregate(failed); err != nil {
		return fmt.Errorf("error validating audience %q: %w", audience, err)
	}
	return fmt.Errorf("audience %q not found in pod spec volume, %s is not authorized to request tokens for this audience", audience, a.GetUserInfo().GetName())
}

// wants says whether a volume needs tokens for an audience: a projected one itself, others by their CSI driver.
func (r *restriction) wants(pod *corev1.Pod, v *corev1.Volume, audience string) (bool, error) {
	driver := ""
	var err error
	switch {
	case v.Projected != nil:
		return slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool {
			return s.ServiceAccountToken != nil && s.ServiceAccountToken.Audience == audience
		}), nil
	case v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil:
		driver, err = r.driverOf(pod.Namespace, ephemeral.VolumeClaimName(pod, v))
	case v.PersistentVolumeClaim != nil:
		driver, err = r.driverOf(pod.Namespace, v.PersistentVolumeClaim.ClaimName)
	case v.CSI != nil:
		driver = v.CSI.Driver
	}
	if err != nil || driver == "" {
		return false, err
	}
	d, err := r.drivers.Get(driver)
	if err != nil {
		return false, err
	}
	for _, t := range d.Spec.TokenRequests {
		if t.Audience == audience {
			return true, nil
		}
	}
	return false, nil
}

// driverOf follows a claim to its volume's CSI driver; "" if it has none.
func (r *restriction) driverOf(namespace, claim string) (string, error) {
	c, err := r.claims.PersistentVolumeClaims(namespace).Get(claim)
	if err != nil {
		return "", err
	}
	v, err := r.volumes.Get(c.Spec.VolumeName)
	if err != nil || v.Spec.CSI == nil {
		return "", err
	}
	return v.Spec.CSI.Driver, nil
}
