// Package apiservice is all that the server knows of APIServices, by which users add API servers of their own:
// defaults, validation, what kubectl prints. Requests are passed on by apiserver/aggregation.
package apiservice

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"

	"dhow/api/table"
	"dhow/apiserver"
)

// Kind defines APIServices.
func Kind() apiserver.Kind {
	return apiserver.Define[*apiregistrationv1.APIService, *apiregistrationv1.APIServiceList](apiregistrationv1.SchemeGroupVersion,
		apiserver.Names{Kind: "APIService", Resource: "apiservices", Categories: []string{"api-extensions"}, Cluster: true},
		apiserver.Rules[*apiregistrationv1.APIService]{
			Default:          Default,
			PrepareForCreate: prepareForCreate,
			ValidateName:     path.IsValidPathSegmentName,
			Validate:         validate,
			ValidateUpdate: func(ctx context.Context, s, _ *apiregistrationv1.APIService) field.ErrorList {
				return validate(ctx, s)
			},
			HasStatus: true, StatusOnCreate: true, RequireResourceVersion: true,
			ValidateStatusUpdate: validateStatus,
			Columns: []metav1.TableColumnDefinition{
				table.Name(),
				table.Column("Service", "The reference to the service that hosts this API endpoint."),
				table.Column("Available", "Whether this service is available."),
				table.Age(),
			},
			Cells: cells,
		})
}

// Default has servers listen where HTTPS does.
func Default(s *apiregistrationv1.APIService) {
	if ref := s.Spec.Service; ref != nil && ref.Port == nil {
		https := int32(443)
		ref.Port = &https
	}
}

// prepareForCreate: what this server serves itself is available at once.
func prepareForCreate(_ context.Context, s *apiregistrationv1.APIService) {
	s.Status = apiregistrationv1.APIServiceStatus{}
	if s.Spec.Service == nil {
		helper.SetAPIServiceCondition(s, helper.NewLocalAvailableAPIServiceCondition())
	}
}

func validate(_ context.Context, s *apiregistrationv1.APIService) field.ErrorList {
	var errs field.ErrorList
	spec := field.NewPath("spec")
	if name := s.Spec.Version + "." + s.Spec.Group; s.Name != name {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), s.Name, fmt.Sprintf("must be `spec.version+\".\"+spec.group`: %q", name)))
	}
	if s.Spec.Group == "" && s.Spec.Version != "v1" {
		errs = append(errs, field.Required(spec.Child("group"), "only v1 may have an empty group and it better be legacy kube"))
	}
	if s.Spec.Group != "" {
		for _, message := range validation.IsDNS1123Subdomain(s.Spec.Group) {
			errs = append(errs, field.Invalid(spec.Child("group"), s.Spec.Group, message))
		}
	}
	for _, message := range validation.IsDNS1035Label(s.Spec.Version) {
		errs = append(errs, field.Invalid(spec.Child("version"), s.Spec.Version, message))
	}
	if p := s.Spec.GroupPriorityMinimum; p <= 0 || p > 20000 {
		errs = append(errs, field.Invalid(spec.Child("groupPriorityMinimum"), p, "must be positive and less than 20000"))
	}
	if p := s.Spec.VersionPriority; p <= 0 || p > 1000 {
		errs = append(errs, field.Invalid(spec.Child("versionPriority"), p, "must be positive and less than 1000"))
	}
	if s.Spec.Service == nil {
		return append(errs, validateLocal(s.Spec, spec)...)
	}
	return append(errs, validateRemote(s.Spec, spec)...)
}

func validateLocal(s apiregistrationv1.APIServiceSpec, spec *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(s.CABundle) != 0 {
		errs = append(errs, field.Invalid(spec.Child("caBundle"), fmt.Sprintf("%d bytes", len(s.CABundle)), "local APIServices may not have a caBundle"))
	}
	if s.InsecureSkipTLSVerify {
		errs = append(errs, field.Invalid(spec.Child("insecureSkipTLSVerify"), true, "local APIServices may not have insecureSkipTLSVerify"))
	}
	return errs
}

func validateRemote(s apiregistrationv1.APIServiceSpec, spec *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := spec.Child("service")
	if s.Service.Namespace == "" {
		errs = append(errs, field.Required(at.Child("namespace"), ""))
	}
	if s.Service.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	}
	if port := s.Service.Port; port != nil {
		if messages := validation.IsValidPortNum(int(*port)); messages != nil {
			errs = append(errs, field.Invalid(at.Child("port"), *port, "port is not valid: "+strings.Join(messages, ", ")))
		}
	}
	if s.InsecureSkipTLSVerify && len(s.CABundle) > 0 {
		errs = append(errs, field.Invalid(spec.Child("insecureSkipTLSVerify"), true, "may not be true if caBundle is present"))
	}
	return errs
}

func validateStatus(_ context.Context, s, _ *apiregistrationv1.APIService) field.ErrorList {
	var errs field.ErrorList
	known := []apiregistrationv1.ConditionStatus{apiregistrationv1.ConditionTrue, apiregistrationv1.ConditionFalse, apiregistrationv1.ConditionUnknown}
	for i, c := range s.Status.Conditions {
		if c.Status != known[0] && c.Status != known[1] && c.Status != known[2] {
			errs = append(errs, field.NotSupported(field.NewPath("status", "conditions").Index(i).Child("status"), c.Status, known))
		}
	}
	return errs
}

func cells(s *apiregistrationv1.APIService) []any {
	server, available := "Local", string(apiregistrationv1.ConditionUnknown)
	if ref := s.Spec.Service; ref != nil {
		server = ref.Namespace + "/" + ref.Name
	}
	if c := helper.GetAPIServiceConditionByType(s, apiregistrationv1.Available); c != nil {
		available = string(c.Status)
		if c.Status != apiregistrationv1.ConditionTrue && c.Reason != "" {
			available += " (" + c.Reason + ")"
		}
	}
	return []any{server, available, table.Since(s.CreationTimestamp)}
}
