// Package plain holds the kinds that have no folder of their own yet: one line each says how they are named and
// stored. Their defaults are beside it; validation is the API server's general one.
package plain

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"dhow/apiserver"
)

// How a kind is kept.
const (
	namespaced = 0
	cluster    = 1 << iota // not namespaced
	status                 // has a status subresource
	all                    // in kubectl get all
)

// define is Define for a kind that its names and flags describe.
func define[T apiserver.Object, L runtime.Object](gv schema.GroupVersion, kind, resource string, flags int, setDefaults func(T), short ...string) apiserver.Kind {
	names := apiserver.Names{Kind: kind, Resource: resource, ShortNames: short, Cluster: flags&cluster != 0}
	if flags&all != 0 {
		names.Categories = []string{"all"}
	}
	return apiserver.Define[T, L](gv, names, apiserver.Rules[T]{HasStatus: flags&status != 0, Default: setDefaults})
}

// Kinds lists them, the API groups in the order in which discovery shows them.
func Kinds() []apiserver.Kind {
	var kinds []apiserver.Kind
	for _, group := range [][]apiserver.Kind{core(), workloads(), policies()} {
		kinds = append(kinds, group...)
	}
	return kinds
}

func core() []apiserver.Kind {
	v1 := corev1.SchemeGroupVersion
	return []apiserver.Kind{
		define[*corev1.LimitRange, *corev1.LimitRangeList](v1, "LimitRange", "limitranges", namespaced, limitRange, "limits"),
		define[*corev1.ResourceQuota, *corev1.ResourceQuotaList](v1, "ResourceQuota", "resourcequotas", status, nil, "quota"),
		define[*corev1.PodTemplate, *corev1.PodTemplateList](v1, "PodTemplate", "podtemplates", namespaced, podTemplate),
	}
}

func workloads() []apiserver.Kind {
	apps := appsv1.SchemeGroupVersion
	return []apiserver.Kind{
		define[*appsv1.ControllerRevision, *appsv1.ControllerRevisionList](apps, "ControllerRevision", "controllerrevisions", namespaced, nil),
		define[*autoscalingv2.HorizontalPodAutoscaler, *autoscalingv2.HorizontalPodAutoscalerList](autoscalingv2.SchemeGroupVersion,
			"HorizontalPodAutoscaler", "horizontalpodautoscalers", status|all, autoscaler, "hpa").With(autoscalingV1()),
	}
}

func policies() []apiserver.Kind {
	return []apiserver.Kind{
		define[*policyv1.PodDisruptionBudget, *policyv1.PodDisruptionBudgetList](policyv1.SchemeGroupVersion, "PodDisruptionBudget", "poddisruptionbudgets", status, nil, "pdb"),
		define[*nodev1.RuntimeClass, *nodev1.RuntimeClassList](nodev1.SchemeGroupVersion, "RuntimeClass", "runtimeclasses", cluster, nil),
	}
}
