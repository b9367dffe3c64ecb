package apiserver

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metatable "k8s.io/apimachinery/pkg/api/meta/table"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// table prints a kind's objects as kubectl shows them: the name, then the kind's own cells.
type table struct{ rules Rules[Object] }

// ConvertToTable implements rest.TableConvertor.
func (t table) ConvertToTable(_ context.Context, object, options runtime.Object) (*metav1.Table, error) {
	out := &metav1.Table{}
	if m, err := meta.ListAccessor(object); err == nil {
		out.ResourceVersion = m.GetResourceVersion()
		out.Continue = m.GetContinue()
		out.RemainingItemCount = m.GetRemainingItemCount()
	} else if m, err := meta.CommonAccessor(object); err == nil {
		out.ResourceVersion = m.GetResourceVersion()
	}
	if o, ok := options.(*metav1.TableOptions); !ok || !o.NoHeaders {
		out.ColumnDefinitions = t.rules.Columns
	}
	var err error
	out.Rows, err = metatable.MetaToTableRow(object, func(obj runtime.Object, m metav1.Object, name, _ string) ([]any, error) {
		return t.row(name, t.rules.Cells(obj.(Object))), nil
	})
	return out, err
}

// row puts the name under the column "Name", which is not the first of events, unless the kind has done so itself.
func (t table) row(name string, cells []any) []any {
	if len(cells) == len(t.rules.Columns) {
		return cells
	}
	at := slices.IndexFunc(t.rules.Columns, func(c metav1.TableColumnDefinition) bool { return c.Format == "name" })
	return slices.Insert(cells, min(max(at, 0), len(cells)), any(name))
}
