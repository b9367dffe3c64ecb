package engine

import (
	"fmt"
	"strings"
)

// NotFoundError is about a thing that does not exist.
type NotFoundError struct{ Kind, Name string }

func (e *NotFoundError) Error() string {
	text := fmt.Sprintf("No such %s: %s", e.Kind, e.Name)
	if e.Kind == "container" && strings.HasPrefix(strings.TrimPrefix(e.Name, "/"), "k8s_") { // as ps calls those of pods
		text += " (containers of pods are managed by their node: ps, inspect, stats, top, logs and exec know them, dhow kubectl changes them)"
	}
	return text
}

// ConflictError is about a thing that is not in the state that was asked of it.
type ConflictError struct{ Message string }

func (e *ConflictError) Error() string { return e.Message }

func conflict(format string, args ...any) error {
	return &ConflictError{Message: fmt.Sprintf(format, args...)}
}

// StartError is a container that could not be started. Code is 127 when its command does not exist, 126 when that is no
// program, 125 or 128 for everything else.
type StartError struct {
	Code int
	Err  error
}

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }
