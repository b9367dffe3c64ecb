package node

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// registerStorage makes the node's CSINode, without drivers, which goes with the node. One that an earlier node of the
// name has left is replaced.
func (n *Node) registerStorage(ctx context.Context, node *corev1.Node) error {
	csiNodes := n.config.Client.StorageV1().CSINodes()
	owner := metav1.OwnerReference{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}
	have, err := csiNodes.Get(ctx, node.Name, metav1.GetOptions{})
	if err == nil && slices.ContainsFunc(have.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == owner.UID }) {
		return nil
	}
	if err == nil {
		err = csiNodes.Delete(ctx, node.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &have.UID}})
	}
	if err == nil || apierrors.IsNotFound(err) {
		_, err = csiNodes.Create(ctx, &storagev1.CSINode{
			ObjectMeta: metav1.ObjectMeta{Name: node.Name, OwnerReferences: []metav1.OwnerReference{owner}},
			Spec:       storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{}},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("CSINode: %w", err)
	}
	return nil
}
