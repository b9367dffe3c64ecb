package warnings

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// NodeLabel says what to use instead of a label of nodes that went; "" for any other label.
func NodeLabel(key string) string { return oldLabels[key] }

// NodeSelectorTerm returns the warnings about one term of a node selector.
func NodeSelectorTerm(at *field.Path, t *corev1.NodeSelectorTerm) []string {
	var all []string
	for i, e := range t.MatchExpressions {
		if use, old := oldLabels[e.Key]; old {
			all = append(all, fmt.Sprintf("%s: %s is %s", at.Child("matchExpressions").Index(i).Child("key"), e.Key, use))
		}
	}
	return all
}

// NodeLabelSelector returns the warnings about a selector of nodes by their labels; nil is fine.
func NodeLabelSelector(at *field.Path, s *metav1.LabelSelector) []string {
	if s == nil {
		return nil
	}
	var all []string
	for i, e := range s.MatchExpressions {
		if use, old := oldLabels[e.Key]; old {
			all = append(all, fmt.Sprintf("%s: %s is %s", at.Child("matchExpressions").Index(i).Child("key"), e.Key, use))
		}
	}
	for _, key := range sets.List(sets.KeySet(s.MatchLabels)) {
		if use, old := oldLabels[key]; old {
			all = append(all, fmt.Sprintf("%s: %s", at.Child("matchLabels").Child(key), use))
		}
	}
	return all
}
