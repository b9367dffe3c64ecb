// Package table makes the columns and cells that kubectl prints for lists of objects.
package table

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// Column is one column of strings.
func Column(name, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "string", Description: description}
}

// Number is one column of whole numbers.
func Number(name, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "integer", Description: description}
}

// Wide is a column that is shown with -o wide only.
func Wide(name, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "string", Priority: 1, Description: description}
}

// Name is the column of the object's name.
func Name() metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name",
		Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]}
}

// Age is the column of the time since the object was created.
func Age() metav1.TableColumnDefinition {
	return Column("Age", metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"])
}

// TemplateColumns are the wide columns of a workload's template; Template makes their cells.
func TemplateColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		Wide("Containers", "Names of each container in the template."),
		Wide("Images", "Images referenced by each container in the template."),
	}
}

// Template are the names and the images of the containers of a workload.
func Template(template *corev1.PodTemplateSpec) (names, images string) {
	var n, i []string
	for _, c := range template.Spec.Containers {
		n, i = append(n, c.Name), append(i, c.Image)
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}

// Since is how long ago t was, as in an Age column.
func Since(t metav1.Time) string { return since(t.Time) }

// SinceMicro is Since for the times of events.
func SinceMicro(t metav1.MicroTime) string { return since(t.Time) }

func since(t time.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t))
}

// Or is s, or other when s is empty.
func Or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// Some joins up to limit of list, and says how many more there are.
func Some(list []string, limit int) string {
	if len(list) <= limit {
		return strings.Join(list, ",")
	}
	return fmt.Sprintf("%s + %d more...", strings.Join(list[:limit], ","), len(list)-limit)
}

// Value is *p, or zero when there is none.
func Value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

// Unset is *p, or "<unset>" when there is none.
func Unset[T ~string](p *T) string {
	if p == nil {
		return "<unset>"
	}
	return string(*p)
}
