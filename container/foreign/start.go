package foreign

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// startWait is how long a program may take to have a container run.
const startWait = 30 * time.Second

// StartContainer implements container.Runtime. To the engine a container has started when the program has; others want
// to enter the container then, so that the program is asked until it says that it runs. A command that cannot be
// executed ends the program, and is told by the container's end.
func (r *Runtime) StartContainer(ctx context.Context, id string) error {
	key, program, err := r.bundleOf(ctx, id)
	if err != nil {
		return err
	}
	if err := r.Engine.StartContainer(ctx, id); err != nil || key == "" {
		return err
	}
	ctx, stop := context.WithTimeoutCause(ctx, startWait, fmt.Errorf("container %s: %s does not say that it runs", id, program))
	defer stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !r.runs(ctx, key, program) {
		status, err := r.Engine.ContainerStatus(ctx, id)
		if err != nil {
			return err
		}
		if status.State == cri.ContainerState_CONTAINER_EXITED {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// runs asks the program; one that does not know the container yet fails.
func (r *Runtime) runs(ctx context.Context, key, program string) bool {
	command := r.command(program, "state", key)
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).Output()
	var state specs.State
	return err == nil && json.Unmarshal(out, &state) == nil && (state.Status == specs.StateRunning || state.Status == specs.StateStopped)
}
