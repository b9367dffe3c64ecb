package client

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dhow/container"
	"dhow/image"
)

// explain turns a code back into the errors that callers branch on.
func explain(err error) error { return wrap(err, container.ErrNotFound) }

// explainImage is explain for images.
func explainImage(err error) error { return wrap(err, image.ErrNotFound) }

func wrap(err, notFound error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	var kind error
	switch s.Code() {
	case codes.NotFound:
		kind = notFound
	case codes.InvalidArgument:
		if notFound == image.ErrNotFound {
			kind = image.ErrInvalidName
		}
	case codes.PermissionDenied, codes.Unauthenticated:
		kind = image.ErrUnauthorized
	case codes.DeadlineExceeded:
		kind = context.DeadlineExceeded
	case codes.Canceled:
		kind = context.Canceled
	}
	if kind == nil {
		return fmt.Errorf("%s", s.Message())
	}
	return &told{s.Message(), kind}
}

// told is an error of the runtime in its own words.
type told struct {
	message string
	kind    error
}

func (t *told) Error() string { return t.message }

func (t *told) Unwrap() error { return t.kind }
