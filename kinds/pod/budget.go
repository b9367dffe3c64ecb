package pod

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	policyclient "k8s.io/client-go/kubernetes/typed/policy/v1"
	"k8s.io/client-go/util/retry"
)

// askBudget takes one disruption from the pod's budget. unchanged says that the answer holds only for the pod as it
// was seen: an unhealthy pod may go without the budget's leave, but may have become healthy since.
func (e *Eviction) askBudget(ctx context.Context, pod *corev1.Pod, dryRun bool) (unchanged bool, err error) {
	if e.budgets == nil {
		return false, nil
	}
	client := e.budgets().PodDisruptionBudgets(pod.Namespace)
	budget, err := budgetOf(ctx, client, pod)
	if err != nil || budget == nil {
		return false, err
	}
	if !conditionTrue(pod, corev1.PodReady) && unhealthyMayGo(budget) {
		return true, nil
	}
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		err := take(ctx, client, budget, pod.Name, dryRun)
		if apierrors.IsConflict(err) {
			fresh, getErr := client.Get(ctx, budget.Name, metav1.GetOptions{})
			if getErr != nil {
				return getErr
			}
			budget = fresh
		}
		return err
	})
	if apierrors.IsConflict(err) {
		err = apierrors.NewTimeoutError(fmt.Sprintf("couldn't update PodDisruptionBudget %q due to conflicts", budget.Name), 10)
	}
	return false, err
}

func budgetOf(ctx context.Context, client policyclient.PodDisruptionBudgetInterface, pod *corev1.Pod) (*policyv1.PodDisruptionBudget, error) {
	list, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var found *policyv1.PodDisruptionBudget
	for i := range list.Items {
		selector, err := metav1.LabelSelectorAsSelector(list.Items[i].Spec.Selector)
		if err != nil || !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		if found != nil {
			return nil, &apierrors.StatusError{ErrStatus: metav1.Status{
				Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError,
				Message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
			}}
		}
		found = &list.Items[i]
	}
	return found, nil
}

func unhealthyMayGo(b *policyv1.PodDisruptionBudget) bool {
	if p := b.Spec.UnhealthyPodEvictionPolicy; p != nil && *p == policyv1.AlwaysAllow {
		return true
	}
	return b.Status.CurrentHealthy >= b.Status.DesiredHealthy && b.Status.DesiredHealthy > 0
}

// maxDisrupted bounds how many evictions the budget's controller may be behind with.
const maxDisrupted = 2000

var budgetResource = policyv1.Resource("poddisruptionbudget")

// take writes down one disruption, or says why there is none to take.
func take(ctx context.Context, client policyclient.PodDisruptionBudgetInterface, budget *policyv1.PodDisruptionBudget, pod string, dryRun bool) error {
	b := budget.DeepCopy()
	switch s := &b.Status; {
	case s.ObservedGeneration < b.Generation:
		return tooMany(10, fmt.Sprintf("The disruption budget %s is still being processed by the server.", b.Name))
	case s.DisruptionsAllowed < 0:
		return apierrors.NewForbidden(budgetResource, b.Name, errors.New("pdb disruptions allowed is negative"))
	case len(s.DisruptedPods) > maxDisrupted:
		return apierrors.NewForbidden(budgetResource, b.Name,
			errors.New("DisruptedPods map too big - too many evictions not confirmed by PDB controller"))
	case s.DisruptionsAllowed == 0:
		return tooMany(0, whyNone(b))
	}
	if dryRun {
		return nil
	}
	b.Status.DisruptionsAllowed--
	if b.Status.DisruptionsAllowed == 0 {
		meta.SetStatusCondition(&b.Status.Conditions, metav1.Condition{Type: policyv1.DisruptionAllowedCondition,
			Status: metav1.ConditionFalse, Reason: policyv1.InsufficientPodsReason, ObservedGeneration: b.Status.ObservedGeneration})
	}
	if b.Status.DisruptedPods == nil {
		b.Status.DisruptedPods = map[string]metav1.Time{}
	}
	b.Status.DisruptedPods[pod] = metav1.Now()
	_, err := client.UpdateStatus(ctx, b, metav1.UpdateOptions{})
	return err
}

func whyNone(b *policyv1.PodDisruptionBudget) string {
	c := meta.FindStatusCondition(b.Status.Conditions, policyv1.DisruptionAllowedCondition)
	told := c != nil && c.Status == metav1.ConditionFalse && c.Message != ""
	switch {
	case told && c.Reason == policyv1.SyncFailedReason:
		return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently because it failed sync: %s", b.Name, c.Message)
	case b.Status.CurrentHealthy <= b.Status.DesiredHealthy:
		return fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", b.Name, b.Status.DesiredHealthy, b.Status.CurrentHealthy)
	case told:
		return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently (%s): %s", b.Name, c.Reason, c.Message)
	default:
		return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently", b.Name)
	}
}

func tooMany(retryAfter int, cause string) error {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", retryAfter)
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes,
		metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: cause})
	return err
}
