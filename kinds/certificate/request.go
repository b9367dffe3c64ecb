package certificate

import (
	"context"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"dhow/api/subresource"
	"dhow/api/table"
	"dhow/apiserver"
)

type signingRequest = certificatesv1.CertificateSigningRequest

// requests are immutable but for two subresources: approval writes the verdict, status the certificate.
func requests() apiserver.Kind {
	return apiserver.Define[*signingRequest, *certificatesv1.CertificateSigningRequestList](certificatesv1.SchemeGroupVersion,
		apiserver.Names{Kind: "CertificateSigningRequest", Resource: "certificatesigningrequests", ShortNames: []string{"csr"}, Cluster: true},
		apiserver.Rules[*signingRequest]{
			NoGeneration:     true,
			PrepareForCreate: setRequestor,
			PrepareForUpdate: func(_ context.Context, r, old *signingRequest) {
				r.Spec, r.Status = old.Spec, old.Status
			},
			Validate:             validateRequest,
			ValidateUpdate:       validateRequestUpdate,
			ValidateName:         func(string) []string { return nil },
			HasStatus:            true,
			PrepareForStatus:     prepareStatus,
			ValidateStatusUpdate: validateRequestStatus,
			Fields: func(r *signingRequest) fields.Set {
				return fields.Set{"spec.signerName": r.Spec.SignerName}
			},
			Columns: requestColumns(),
			Cells:   requestCells,
			Subresources: map[string]func(*genericregistry.Store) rest.Storage{
				"approval": func(store *genericregistry.Store) rest.Storage {
					return subresource.New(store, subresource.Rules[*signingRequest]{
						Prepare: prepareApproval, Validate: validateApproval, Owns: approvalOwns(),
					})
				},
			},
		})
}

// setRequestor writes down who asks: the signer decides by it.
func setRequestor(ctx context.Context, r *signingRequest) {
	r.Spec.Username, r.Spec.UID, r.Spec.Groups, r.Spec.Extra = "", "", nil, nil
	u, ok := request.UserFrom(ctx)
	if !ok {
		return
	}
	r.Spec.Username, r.Spec.UID, r.Spec.Groups = u.GetName(), u.GetUID(), u.GetGroups()
	for key, values := range u.GetExtra() {
		if r.Spec.Extra == nil {
			r.Spec.Extra = map[string]certificatesv1.ExtraValue{}
		}
		r.Spec.Extra[key] = values
	}
}

// prepareStatus keeps the verdict, unless its conditions were added or removed: that, validation refuses.
func prepareStatus(_ context.Context, r, old *signingRequest) {
	for _, kind := range []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied} {
		before, now := places(old, kind), places(r, kind)
		if len(before) != len(now) {
			continue
		}
		for i := range now {
			r.Status.Conditions[now[i]] = old.Status.Conditions[before[i]]
		}
	}
	stamp(r, old)
}

// places are the indexes of the conditions of one type.
func places(r *signingRequest, kind certificatesv1.RequestConditionType) []int {
	var all []int
	for i, c := range r.Status.Conditions {
		if c.Type == kind {
			all = append(all, i)
		}
	}
	return all
}

func prepareApproval(_ context.Context, r, old *signingRequest) {
	stamp(r, old)
	conditions := r.Status.Conditions
	r.Spec, r.Status = old.Spec, old.Status
	r.Status.Conditions = conditions
}

// stamp fills in the times of conditions that came without.
func stamp(r, old *signingRequest) {
	now := metav1.Now()
	for i := range r.Status.Conditions {
		c := &r.Status.Conditions[i]
		if c.LastUpdateTime.IsZero() {
			c.LastUpdateTime = now
		}
		if c.LastTransitionTime.IsZero() {
			c.LastTransitionTime = since(old, c, now)
		}
	}
}

// since is when a condition came to be as it is.
func since(old *signingRequest, c *certificatesv1.CertificateSigningRequestCondition, now metav1.Time) metav1.Time {
	for _, o := range old.Status.Conditions {
		if o.Type == c.Type && o.Status == c.Status && !o.LastTransitionTime.IsZero() {
			return o.LastTransitionTime
		}
	}
	return now
}

// approvalOwns are the fields that writers of approval own with server-side apply: all but these.
func approvalOwns() map[fieldpath.APIVersion]fieldpath.Filter {
	return map[fieldpath.APIVersion]fieldpath.Filter{
		fieldpath.APIVersion(certificatesv1.SchemeGroupVersion.String()): fieldpath.NewExcludeSetFilter(fieldpath.NewSet(
			fieldpath.MakePathOrDie("spec"), fieldpath.MakePathOrDie("status", "certificate"))),
	}
}

func requestColumns() []metav1.TableColumnDefinition {
	spec, status := certificatesv1.CertificateSigningRequestSpec{}.SwaggerDoc(), certificatesv1.CertificateSigningRequestStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(), table.Age(),
		table.Column("SignerName", spec["signerName"]),
		table.Column("Requestor", spec["request"]),
		table.Column("RequestedDuration", spec["expirationSeconds"]),
		table.Column("Condition", status["conditions"]),
	}
}

func requestCells(r *signingRequest) []any {
	length := "<none>"
	if s := r.Spec.ExpirationSeconds; s != nil {
		length = duration.HumanDuration(time.Duration(*s) * time.Second)
	}
	return []any{table.Since(r.CreationTimestamp), table.Or(r.Spec.SignerName, "<none>"), r.Spec.Username, length, state(r)}
}

// state is the verdict and what came of it: "Approved,Issued".
func state(r *signingRequest) string {
	text := "Pending"
	switch {
	case len(places(r, certificatesv1.CertificateDenied)) > 0:
		text = "Denied"
	case len(places(r, certificatesv1.CertificateApproved)) > 0:
		text = "Approved"
	}
	if len(places(r, certificatesv1.CertificateFailed)) > 0 {
		text += ",Failed"
	}
	if len(r.Status.Certificate) > 0 {
		text += ",Issued"
	}
	return text
}
