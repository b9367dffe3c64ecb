package shim

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How long a container waits before it is started again: twice as long each time, anew after it has been calm.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = time.Minute
	calm         = 10 * time.Second
)

// again says whether the policy wants the container to be started again.
func (c *container) again(exit Exit) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.spec.Restart
	switch {
	case c.stopped:
		return false
	case p.Always:
		return true
	default:
		return p.OnFailure && exit.Code != 0 && (p.Max == 0 || c.restarts < p.Max)
	}
}

// restart starts the container again after a pause, and tells whether it runs; if not, how it has ended.
func (s *server) restart(c *container, last Exit, pause time.Duration) (Exit, bool) {
	before := c.current()
	c.record(Start{At: before.at, User: before.user, Restarts: c.restarts, Last: &last})
	s.tell(c.spec.ID)
	select {
	case <-time.After(pause):
	case <-c.wake:
		return last, false
	}
	killRest(c.spec.Cgroups)
	before.release()
	r, err := s.newRun(c)
	if err != nil {
		return failure(err), false
	}
	c.mu.Lock()
	c.run = r
	close(before.next)
	c.restarts++
	stopped := c.stopped
	c.mu.Unlock()
	if stopped { // while it was being started
		_ = c.kill(unix.SIGKILL)
	}
	c.record(Start{At: r.at, Pid: r.pid, User: r.user, Restarts: c.restarts, Last: &last})
	s.tell(c.spec.ID)
	return Exit{}, true
}

// failure is the end of a container that could not be started.
func failure(why error) Exit {
	exit := Exit{Code: 128, At: time.Now().UnixNano(), Error: why.Error()}
	var start *startError
	if errors.As(why, &start) {
		exit.Code = start.Code
	}
	return exit
}

// killRest ends what a container without a pid namespace of its own left behind. It does not use cgroup.kill: some
// kernels (6.18) also kill whatever is cloned into the group later.
func killRest(cgroups []string) {
	for range 100 { // it may fork meanwhile
		left := 0
		for _, dir := range cgroups {
			left += killMembers(dir)
		}
		if left == 0 {
			return
		}
	}
}

// killMembers kills the processes of one group but this one, and counts them.
func killMembers(dir string) int {
	data, err := os.ReadFile(dir + "/cgroup.procs")
	if err != nil {
		return 0
	}
	n := 0
	for _, field := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 && pid != os.Getpid() && unix.Kill(pid, unix.SIGKILL) == nil {
			n++
		}
	}
	return n
}
