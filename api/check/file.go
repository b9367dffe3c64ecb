package check

import (
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// NoBacksteps refuses ".." as a part of a path.
func (l *List) NoBacksteps(at *field.Path, file string) {
	if slices.Contains(strings.Split(file, "/"), "..") {
		l.Invalid(at, file, "must not contain '..'")
	}
}

// Descending requires a relative path that stays below where it starts.
func (l *List) Descending(at *field.Path, file string) {
	if path.IsAbs(file) {
		l.Invalid(at, file, "must be a relative path")
	}
	l.NoBacksteps(at, file)
}

// VolumeFile requires a path that a volume may hold: descending, and not beginning with "..", which the
// atomic update of volumes reserves.
func (l *List) VolumeFile(at *field.Path, file string) {
	l.Descending(at, file)
	if strings.HasPrefix(file, "..") && !strings.HasPrefix(file, "../") {
		l.Invalid(at, file, "must not start with '..'")
	}
}

// Mode requires permission bits, where set.
func (l *List) Mode(at *field.Path, mode *int32) {
	if mode != nil && (*mode < 0 || *mode > 0o777) {
		l.Invalid(at, *mode, "must be a number between 0 and 0777 (octal), both inclusive")
	}
}
