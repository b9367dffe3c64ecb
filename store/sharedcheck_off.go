//go:build !sharedcheck

package store

import "k8s.io/apimachinery/pkg/runtime"

// originals does nothing: see the build tag sharedcheck.
type originals struct{}

func (originals) remember(runtime.Object) {}
func (originals) check(runtime.Object)    {}
