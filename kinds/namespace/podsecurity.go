package namespace

import (
	"context"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	podsecurity "k8s.io/pod-security-admission/admission"
	"k8s.io/pod-security-admission/admission/api/load"
	podsecurityapi "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/metrics"
	"k8s.io/pod-security-admission/policy"
)

// PodSecurity refuses pods that the namespace's labels pod-security.kubernetes.io/<mode> do not allow, and warns of
// workloads that would make such pods. The checks are the library's. configuration (a PodSecurityConfiguration) says
// what holds for namespaces without labels, and who is exempt; when empty, such namespaces allow everything and warn of
// what is beyond baseline, except in kube-system, where the cluster's own parts run.
func PodSecurity(f informers.SharedInformerFactory, client kubernetes.Interface, configuration []byte) (admission.Interface, error) {
	core := f.Core().V1()
	core.Namespaces().Informer()
	core.Pods().Informer()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return nil, fmt.Errorf("pod security: %w", err)
	}
	namespaces := podsecurity.NamespaceGetterFromListerAndClient(core.Namespaces().Lister(), client)
	if len(configuration) == 0 {
		configuration, namespaces = []byte(defaultConfiguration), quietSystem{namespaces}
	}
	config, err := load.LoadFromData(configuration)
	if err != nil {
		return nil, fmt.Errorf("configuration of PodSecurity: %w", err)
	}
	library := &podsecurity.Admission{
		Configuration: config,
		Evaluator:     evaluator, Metrics: metrics.NewPrometheusRecorder(podsecurityapi.GetAPIVersion()),
		PodSpecExtractor: podsecurity.DefaultPodSpecExtractor{},
		NamespaceGetter:  namespaces,
		PodLister:        podsecurity.PodListerFromInformer(core.Pods().Lister()),
	}
	if err := errors.Join(library.CompleteConfiguration(), library.ValidateConfiguration()); err != nil {
		return nil, fmt.Errorf("configuration of PodSecurity: %w", err)
	}
	return &podSecurity{admission.NewHandler(admission.Create, admission.Update), library}, nil
}

// defaultConfiguration holds when an administrator gives none.
const defaultConfiguration = `
apiVersion: pod-security.admission.config.k8s.io/v1
kind: PodSecurityConfiguration
defaults: {warn: baseline}
`

// quietSystem has kube-system warn of nothing unless it is labelled. An exemption would pass over its labels too.
type quietSystem struct{ podsecurity.NamespaceGetter }

// GetNamespace implements podsecurity.NamespaceGetter.
func (q quietSystem) GetNamespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	ns, err := q.NamespaceGetter.GetNamespace(ctx, name)
	if err != nil || name != metav1.NamespaceSystem || ns.Labels[podsecurityapi.WarnLevelLabel] != "" {
		return ns, err
	}
	ns = ns.DeepCopy()
	metav1.SetMetaDataLabel(&ns.ObjectMeta, podsecurityapi.WarnLevelLabel, string(podsecurityapi.LevelPrivileged))
	return ns, nil
}

type podSecurity struct {
	*admission.Handler
	library *podsecurity.Admission
}

var _ admission.ValidationInterface = &podSecurity{}

// Validate asks the library and passes its answer on.
func (p *podSecurity) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	gr := a.GetResource().GroupResource()
	if gr != resource && gr != corev1.Resource("pods") && !p.library.PodSpecExtractor.HasPodSpec(gr) {
		return nil
	}
	answer := p.library.Validate(ctx, podAttributes{a})
	for _, w := range answer.Warnings {
		warning.AddWarning(ctx, "", w)
	}
	for key, value := range answer.AuditAnnotations {
		audit.AddAuditAnnotation(ctx, podsecurityapi.AuditAnnotationPrefix+key, value)
	}
	if answer.Allowed {
		return nil
	}
	return refusal(a, answer.Result)
}

func refusal(a admission.Attributes, why *metav1.Status) error {
	err := admission.NewForbidden(a, errors.New("Not allowed by PodSecurity"))
	var status *apierrors.StatusError
	if why == nil || !errors.As(err, &status) {
		return err
	}
	if why.Message != "" {
		status.ErrStatus.Message = why.Message
	}
	if why.Reason != "" {
		status.ErrStatus.Reason = why.Reason
	}
	if why.Details != nil {
		status.ErrStatus.Details = why.Details
	}
	if why.Code != 0 {
		status.ErrStatus.Code = why.Code
	}
	return err
}

// podAttributes are a request in the library's terms.
type podAttributes struct{ admission.Attributes }

// GetObject implements podsecurityapi.Attributes.
func (a podAttributes) GetObject() (runtime.Object, error) { return a.Attributes.GetObject(), nil }

// GetOldObject implements podsecurityapi.Attributes.
func (a podAttributes) GetOldObject() (runtime.Object, error) {
	return a.Attributes.GetOldObject(), nil
}

// GetOperation implements podsecurityapi.Attributes.
func (a podAttributes) GetOperation() admissionv1.Operation {
	return admissionv1.Operation(a.Attributes.GetOperation())
}

// GetUserName implements podsecurityapi.Attributes.
func (a podAttributes) GetUserName() string { return a.GetUserInfo().GetName() }
