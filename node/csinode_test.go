package node

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestANodeOwnsItsCSINode(t *testing.T) {
	m := newMachine(t)
	for _, uid := range []types.UID{"first", "second"} {
		m.stop()
		node, err := m.client.CoreV1().Nodes().Get(t.Context(), nodeName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		node.UID = uid // the node was deleted and has come back
		if _, err := m.client.CoreV1().Nodes().Update(t.Context(), node, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		m.start()
		got, err := m.client.StorageV1().CSINodes().Get(t.Context(), nodeName, metav1.GetOptions{})
		if err != nil || len(got.OwnerReferences) != 1 || got.OwnerReferences[0].UID != uid || got.OwnerReferences[0].Kind != "Node" {
			t.Errorf("CSINode of %v, %v; want node %s", got.OwnerReferences, err, uid)
		}
	}
}
