package namespace

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
)

// conditions are what a pass says of its namespace: that of a type is true when something is in the way.
func (c content) conditions() []corev1.NamespaceCondition {
	all := []corev1.NamespaceCondition{
		fine(corev1.NamespaceDeletionDiscoveryFailure, "ResourcesDiscovered", "All resources successfully discovered"),
		fine(corev1.NamespaceDeletionGVParsingFailure, "ParsedGroupVersions", "All legacy kube types successfully parsed"),
		fine(corev1.NamespaceDeletionContentFailure, "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
		fine(corev1.NamespaceContentRemaining, "ContentRemoved", "All content successfully removed"),
		fine(corev1.NamespaceFinalizersRemaining, "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
	}
	if c.discovery != nil {
		trouble(&all[0], "DiscoveryFailed", discoveryMessage(c.discovery))
	}
	if c.parsing != nil {
		trouble(&all[1], "GroupVersionParsingFailed", c.parsing.Error())
	}
	if len(c.failures) > 0 {
		trouble(&all[2], "ContentDeletionFailed", fmt.Sprintf("Failed to delete all resource types, %d remaining: %s",
			len(c.failures), strings.Join(messages(c.failures), ", ")))
	}
	if len(c.left) > 0 {
		trouble(&all[3], "SomeResourcesRemain", "Some resources are remaining: "+strings.Join(c.leftovers(), ", "))
	}
	if len(c.finalizers) > 0 {
		trouble(&all[4], "SomeFinalizersRemain", "Some content in the namespace has finalizers remaining: "+strings.Join(c.awaited(), ", "))
	}
	return all
}

func fine(kind corev1.NamespaceConditionType, reason, message string) corev1.NamespaceCondition {
	return corev1.NamespaceCondition{Type: kind, Status: corev1.ConditionFalse, Reason: reason, Message: message}
}

func trouble(c *corev1.NamespaceCondition, reason, message string) {
	c.Status, c.Reason, c.Message = corev1.ConditionTrue, reason, message
}

func discoveryMessage(err error) string {
	var failed *discovery.ErrGroupDiscoveryFailed
	if errors.As(err, &failed) {
		return fmt.Sprintf("Discovery failed for some groups, %d failing: %v", len(failed.Groups), err)
	}
	return err.Error()
}

func messages(failures []error) []string {
	var all []string
	for _, err := range failures {
		all = append(all, err.Error())
	}
	slices.Sort(all)
	return all
}

func (c content) leftovers() []string {
	var all []string
	for resource, n := range c.left {
		all = append(all, fmt.Sprintf("%s.%s has %d resource instances", resource.Resource, resource.Group, n))
	}
	slices.Sort(all)
	return all
}

func (c content) awaited() []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(c.finalizers)) {
		all = append(all, fmt.Sprintf("%s in %d resource instances", name, c.finalizers[name]))
	}
	return all
}

// withConditions puts new conditions in the place of old ones of their types; changed is false when all said so before.
func withConditions(old, latest []corev1.NamespaceCondition, now metav1.Time) (all []corev1.NamespaceCondition, changed bool) {
	all = slices.Clone(old)
	for _, c := range latest {
		c.LastTransitionTime = now
		at := slices.IndexFunc(all, func(o corev1.NamespaceCondition) bool { return o.Type == c.Type })
		if at < 0 {
			all, changed = append(all, c), true
			continue
		}
		if all[at].Status == c.Status {
			c.LastTransitionTime = all[at].LastTransitionTime
		}
		if all[at].Status != c.Status || all[at].Reason != c.Reason || all[at].Message != c.Message {
			all[at], changed = c, true
		}
	}
	return all, changed
}
