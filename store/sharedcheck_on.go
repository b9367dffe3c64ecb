//go:build sharedcheck

package store

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
)

// originals are copies of the objects that are shared, by pointer: the build with the tag sharedcheck finds out who
// writes to one of them.
type originals struct {
	copies map[runtime.Object]runtime.Object
}

func (o *originals) remember(obj runtime.Object) {
	if o.copies == nil {
		o.copies = map[runtime.Object]runtime.Object{}
	}
	o.copies[obj] = obj.DeepCopyObject()
}

// changed says how an object differs from what it was when it was shared, which ends here.
func (o *originals) changed(obj runtime.Object) string {
	was, known := o.copies[obj]
	delete(o.copies, obj)
	if !known || equality.Semantic.DeepEqual(was, obj) {
		return ""
	}
	return fmt.Sprintf("somebody wrote to a shared %T:\nwas %+v\nis  %+v", obj, was, obj)
}

// check panics if somebody has written to the object.
func (o *originals) check(obj runtime.Object) {
	if obj == nil {
		return
	}
	if how := o.changed(obj); how != "" {
		panic(how)
	}
}
