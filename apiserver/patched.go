package apiserver

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
)

// patched tells a client what is wrong with its patch where the library would call it a fault of the server.
type patched struct{ rest.UpdatedObjectInfo }

// UpdatedObject implements rest.UpdatedObjectInfo.
func (p patched) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	obj, err := p.UpdatedObjectInfo.UpdatedObject(ctx, old)
	if err != nil && noMergeKey(err) {
		return nil, apierrors.NewBadRequest("strategic merge patch: " + err.Error())
	}
	return obj, err
}

// noMergeKey recognises what k8s.io/apimachinery/pkg/util/mergepatch.ErrNoMergeKey makes: it has no type of its own.
func noMergeKey(err error) bool {
	return apierrors.ReasonForError(err) == "" && strings.Contains(err.Error(), "does not contain declared merge key")
}
