package server

import (
	"context"
	"errors"
	"io/fs"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"dhow/container"
	"dhow/image"
)

// explain gives an error the code that containerd gives its like; node agents branch on NotFound.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if _, told := status.FromError(err); told {
		return err
	}
	return status.Error(codeOf(err), err.Error())
}

func codeOf(err error) codes.Code {
	switch {
	case errors.Is(err, container.ErrNotFound), errors.Is(err, image.ErrNotFound):
		return codes.NotFound
	case errors.Is(err, image.ErrInvalidName):
		return codes.InvalidArgument
	case errors.Is(err, image.ErrInUse):
		return codes.FailedPrecondition
	case errors.Is(err, image.ErrUnauthorized):
		return codes.PermissionDenied
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, fs.ErrExist):
		return codes.AlreadyExists
	default:
		return codes.Unknown
	}
}

func explainUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	m, _ := req.(proto.Message)
	if err := firstOf(checkMessage(m), checkID(m)); err != nil {
		return nil, err
	}
	answer, err := handler(ctx, req)
	if err != nil {
		return nil, explain(err)
	}
	return answer, nil
}

func explainStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return explain(handler(srv, stream))
}

// missing is what a request lacks.
func missing(field string) error {
	return status.Errorf(codes.InvalidArgument, "%s must be set", field)
}
