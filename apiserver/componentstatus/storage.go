// Package componentstatus serves ComponentStatuses (v1): whether the parts of the control plane are healthy. Kubernetes
// has deprecated them; kubectl get componentstatuses still asks.
package componentstatus

import (
	"context"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/server/healthz"
)

// Resource is its name in the API.
const Resource = "componentstatuses"

// Storage asks the parts whenever a client does.
type Storage struct{ parts []healthz.HealthChecker }

// New serves the health of parts under their names.
func New(parts ...healthz.HealthChecker) *Storage { return &Storage{parts} }

var _ interface {
	rest.Getter
	rest.Lister
	rest.Scoper
	rest.ShortNamesProvider
	rest.SingularNameProvider
} = &Storage{}

func (*Storage) New() runtime.Object     { return &corev1.ComponentStatus{} }
func (*Storage) NewList() runtime.Object { return &corev1.ComponentStatusList{} }
func (*Storage) Destroy()                {}
func (*Storage) NamespaceScoped() bool   { return false }
func (*Storage) GetSingularName() string { return "componentstatus" }
func (*Storage) ShortNames() []string    { return []string{"cs"} }

// Get asks one part.
func (s *Storage) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	for _, p := range s.parts {
		if p.Name() == name {
			status := ask(ctx, p)
			return &status, nil
		}
	}
	return nil, apierrors.NewNotFound(corev1.Resource(Resource), name)
}

// List asks all parts. They have no labels.
func (s *Storage) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	list := &corev1.ComponentStatusList{Items: []corev1.ComponentStatus{}}
	if options != nil && options.LabelSelector != nil && !options.LabelSelector.Matches(labels.Set{}) {
		return list, nil
	}
	for _, p := range s.parts {
		if options != nil && options.FieldSelector != nil && !options.FieldSelector.Matches(named(p.Name())) {
			continue
		}
		list.Items = append(list.Items, ask(ctx, p))
	}
	return list, nil
}

// named are the fields that can be selected.
type named string

func (n named) Has(field string) bool   { return field == "metadata.name" }
func (n named) Get(field string) string { return map[string]string{"metadata.name": string(n)}[field] }

func ask(ctx context.Context, part healthz.HealthChecker) corev1.ComponentStatus {
	condition := corev1.ComponentCondition{Type: corev1.ComponentHealthy, Status: corev1.ConditionTrue, Message: "ok"}
	if err := part.Check((&http.Request{}).WithContext(ctx)); err != nil {
		condition.Status, condition.Message, condition.Error = corev1.ConditionFalse, "", err.Error()
	}
	return corev1.ComponentStatus{ObjectMeta: metav1.ObjectMeta{Name: part.Name()}, Conditions: []corev1.ComponentCondition{condition}}
}

// ConvertToTable prints what kubectl shows.
func (s *Storage) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	if o, ok := options.(*metav1.TableOptions); !ok || !o.NoHeaders {
		for _, name := range []string{"Name", "Status", "Message", "Error"} {
			column := metav1.TableColumnDefinition{Name: name, Type: "string"}
			if name == "Name" {
				column.Format = "name"
			}
			table.ColumnDefinitions = append(table.ColumnDefinitions, column)
		}
	}
	switch o := object.(type) {
	case *corev1.ComponentStatus:
		table.Rows = append(table.Rows, row(o))
	case *corev1.ComponentStatusList:
		for i := range o.Items {
			table.Rows = append(table.Rows, row(&o.Items[i]))
		}
	}
	return table, nil
}

func row(c *corev1.ComponentStatus) metav1.TableRow {
	status, message, reason := "Unknown", "", ""
	for _, condition := range c.Conditions {
		if condition.Type == corev1.ComponentHealthy {
			status, message, reason = "Unhealthy", condition.Message, condition.Error
			if condition.Status == corev1.ConditionTrue {
				status = "Healthy"
			}
		}
	}
	return metav1.TableRow{Cells: []any{c.Name, status, message, reason}, Object: runtime.RawExtension{Object: c}}
}
