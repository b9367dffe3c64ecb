package image

import (
	"errors"

	"dhow/image/names"
	"dhow/image/registry"
)

// Errors a caller branches on; they are matched with errors.Is.
var (
	ErrNotFound     = registry.ErrNotFound
	ErrUnauthorized = registry.ErrUnauthorized
	ErrInvalidName  = names.ErrInvalid
	ErrInUse        = errors.New("image is in use")
	// ErrNotHere is a name that is to be pushed and that no image has.
	ErrNotHere = errors.New("no image here has that name")
	// ErrConflict is a removal that docker's users must force.
	ErrConflict = errors.New("conflict")
	// ErrAmbiguous is the beginning of several ids.
	ErrAmbiguous = errors.New("multiple IDs found with provided prefix")
)
