package containertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
)

// buffer is a writer that may be read meanwhile.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// exec runs a command that must succeed.
func (r *rig) exec(id string, command ...string) string {
	r.Helper()
	var out, errs buffer
	code, err := r.Runtime.Exec(r.ctx, id, container.ExecOptions{Command: command, Streams: container.Streams{Stdout: &out, Stderr: &errs}})
	r.check(err)
	if code != 0 {
		r.Errorf("%q ended with %d: %s", command, code, errs.String())
	}
	return out.String()
}

func execBehaviours() map[string]func(*rig) {
	return map[string]func(*rig){
		"exec has its streams and its exit code":        execStreams,
		"exec with a deadline has output and exit code": execDeadline,
		"exec has the environment that it is given":     execEnvironment,
		"exec of a command that is not there says so":   execNotThere,
		"exec that is given up is killed":               execGivenUp,
		"exec with a terminal follows its size":         execTerminal,
		"exec needs a container that runs":              execNotRunning,
		"exec gives all of a large output":              execLarge,
		"many execs at once":                            manyExecs,
	}
}

func execStreams(r *rig) {
	id := r.launch(r.command("sleep", "1000"))
	var out, errs buffer
	code, err := r.Runtime.Exec(r.ctx, id, container.ExecOptions{
		Command: []string{"sh", "-c", "cat; echo oops >&2; exit 5"},
		Streams: container.Streams{Stdin: strings.NewReader("in\n"), Stdout: &out, Stderr: &errs},
	})
	r.check(err)
	if code != 5 || out.String() != "in\n" || errs.String() != "oops\n" {
		r.Errorf("code %d, out %q, err %q", code, out.String(), errs.String())
	}
}

func execDeadline(r *rig) {
	id := r.launch(r.command("sleep", "1000"))
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	var out, errs buffer
	code, err := r.Runtime.Exec(ctx, id, container.ExecOptions{
		Command: []string{"sh", "-c", "echo out; echo oops >&2; exit 6"}, Streams: container.Streams{Stdout: &out, Stderr: &errs},
	})
	r.check(err)
	if code != 6 || out.String() != "out\n" || errs.String() != "oops\n" {
		r.Errorf("code %d, out %q, err %q", code, out.String(), errs.String())
	}
}

func execEnvironment(r *rig) {
	config := r.command("sleep", "1000")
	config.Envs = []*cri.KeyValue{{Key: "OWN", Value: []byte("container")}}
	id := r.launch(config)
	var out buffer
	_, err := r.Runtime.Exec(r.ctx, id, container.ExecOptions{
		Command: []string{"sh", "-c", "echo $OWN $MORE"}, Env: []string{"MORE=given"}, Streams: container.Streams{Stdout: &out},
	})
	r.check(err)
	if out.String() != "container given\n" {
		r.Errorf("it said %q", out.String())
	}
}

func execNotThere(r *rig) {
	id := r.launch(r.command("sleep", "1000"))
	_, err := r.Runtime.Exec(r.ctx, id, container.ExecOptions{Command: []string{"/bin/none"}, Streams: container.Streams{Stdout: &buffer{}}})
	if err == nil || !strings.Contains(err.Error(), "/bin/none") {
		r.Errorf("error is %v", err)
	}
}

// mark is a number that only this test's commands bear.
func (r *rig) mark() string {
	sum := 0
	for _, c := range r.Name() {
		sum = (sum*31 + int(c)) % 1000000
	}
	return fmt.Sprintf("7%06d", sum)
}

// processes counts those in the container whose command bears the mark.
func (r *rig) processes(id, mark string) int {
	r.Helper()
	return strings.Count(r.exec(id, "sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep '^"+mark+"$' || true"), mark)
}

func execGivenUp(r *rig) {
	id := r.launch(r.command("sleep", "1000"))
	for name, context := range map[string]func() (context.Context, context.CancelFunc){
		"deadline": func() (context.Context, context.CancelFunc) { return context.WithTimeout(r.ctx, 300*time.Millisecond) },
		"cancel": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(r.ctx)
			time.AfterFunc(300*time.Millisecond, cancel)
			return ctx, cancel
		},
	} {
		ctx, cancel := context()
		_, err := r.Runtime.Exec(ctx, id, container.ExecOptions{Command: []string{"sleep", r.mark()}, Streams: container.Streams{Stdout: &buffer{}}})
		if err == nil || ctx.Err() == nil {
			r.Errorf("%s: exec ended with %v", name, err)
		}
		cancel()
		r.eventually(name+": the command is gone", func() bool { return r.processes(id, r.mark()) == 0 })
	}
}

func execTerminal(r *rig) {
	id := r.launch(r.command("sleep", "1000"))
	sizes := make(chan container.TerminalSize, 2)
	sizes <- container.TerminalSize{Width: 91, Height: 17}
	var out buffer
	ended := make(chan error, 1)
	go func() {
		script := "tty; until stty size | grep '^17 91'; do sleep 0.02; done; until stty size | grep '^30 100'; do sleep 0.02; done; exit 4"
		code, err := r.Runtime.Exec(r.ctx, id, container.ExecOptions{
			Command: []string{"sh", "-c", script}, Streams: container.Streams{Stdin: neverEnding{r.ctx}, Stdout: &out, TTY: true, Resize: sizes},
		})
		if err == nil && code != 4 {
			err = fmt.Errorf("exit code is %d", code)
		}
		ended <- err
	}()
	r.eventually("the first size is seen", func() bool { return strings.Contains(out.String(), "17 91") })
	sizes <- container.TerminalSize{Width: 100, Height: 30}
	r.check(<-ended)
	if !strings.Contains(out.String(), "/dev/") || !strings.Contains(out.String(), "30 100") {
		r.Errorf("it said %q", out.String())
	}
}

// neverEnding is an input on which nobody types.
type neverEnding struct{ until context.Context }

func (n neverEnding) Read([]byte) (int, error) {
	<-n.until.Done()
	return 0, io.EOF
}

func execNotRunning(r *rig) {
	id := r.create(r.command("true"))
	options := container.ExecOptions{Command: []string{"true"}, Streams: container.Streams{Stdout: &buffer{}}}
	if _, err := r.Runtime.Exec(r.ctx, id, options); err == nil {
		r.Error("exec works in one that was not started")
	}
	r.check(r.Runtime.StartContainer(r.ctx, id))
	r.waitExit(id)
	if _, err := r.Runtime.Exec(r.ctx, id, options); err == nil {
		r.Error("exec works in one that has ended")
	}
}

func execLarge(r *rig) {
	id := r.launch(r.command("sleep", "1000"))
	if out := r.exec(id, "head", "-c", "3000000", "/dev/zero"); len(out) != 3000000 {
		r.Errorf("%d bytes came", len(out))
	}
}

func manyExecs(r *rig) {
	id := r.launch(r.command("sleep", "1000"))
	var all sync.WaitGroup
	for n := range 10 {
		all.Go(func() {
			var out buffer
			code, err := r.Runtime.Exec(r.ctx, id, container.ExecOptions{
				Command: []string{"sh", "-c", fmt.Sprintf("echo %d; exit %d", n, n)}, Streams: container.Streams{Stdout: &out},
			})
			if err != nil || code != n || out.String() != fmt.Sprintln(n) {
				r.Errorf("the %dth: %d, %q, %v", n, code, out.String(), err)
			}
		})
	}
	all.Wait()
}

func attachBehaviours() map[string]func(*rig) {
	return map[string]func(*rig){
		"attach sees the output until the end":          attachSees,
		"attach feeds the container":                    attachFeeds,
		"attach to a terminal":                          attachTerminal,
		"attach that is given up lets the container be": attachGivenUp,
		"after attach the status knows of the end":      attachThenStatus,
		"several clients are attached at once":          attachSeveral,
	}
}

func attachSees(r *rig) {
	config := r.sh("read go; echo out; echo oops >&2")
	config.Stdin, config.StdinOnce = true, true
	id := r.launch(config)
	var out, errs buffer
	r.check(r.Runtime.Attach(r.ctx, id, container.Streams{Stdin: strings.NewReader("go\n"), Stdout: &out, Stderr: &errs}))
	if out.String() != "out\n" || errs.String() != "oops\n" {
		r.Errorf("out %q, err %q", out.String(), errs.String())
	}
}

func attachFeeds(r *rig) {
	config := r.sh("cat; echo done")
	config.Stdin, config.StdinOnce = true, true
	id := r.launch(config)
	var out buffer
	r.check(r.Runtime.Attach(r.ctx, id, container.Streams{Stdin: strings.NewReader("hello\n"), Stdout: &out}))
	if out.String() != "hello\ndone\n" {
		r.Errorf("it said %q", out.String())
	}
	r.waitExit(id)
}

func attachTerminal(r *rig) {
	config := r.sh("until stty size | grep '^17 91'; do sleep 0.02; done; read line; echo got $line")
	config.Stdin, config.Tty = true, true
	id := r.launch(config)
	sizes := make(chan container.TerminalSize, 1)
	sizes <- container.TerminalSize{Width: 91, Height: 17}
	input, feed := io.Pipe()
	defer feed.Close()
	var out buffer
	ended := make(chan error, 1)
	go func() {
		ended <- r.Runtime.Attach(r.ctx, id, container.Streams{Stdin: input, Stdout: &out, TTY: true, Resize: sizes})
	}()
	r.eventually("the size is seen", func() bool { return strings.Contains(out.String(), "17 91") })
	_, err := io.WriteString(feed, "typed\n")
	r.check(err)
	r.check(<-ended)
	if !strings.Contains(out.String(), "got typed") {
		r.Errorf("it said %q", out.String())
	}
}

func attachGivenUp(r *rig) {
	id := r.launch(r.command("sleep", "1000"))
	ctx, cancel := context.WithTimeout(r.ctx, 200*time.Millisecond)
	defer cancel()
	r.check(r.Runtime.Attach(ctx, id, container.Streams{Stdout: &buffer{}}))
	if s := r.status(id); s.State != cri.ContainerState_CONTAINER_RUNNING {
		r.Errorf("status is %v", s)
	}
}

func attachThenStatus(r *rig) {
	for range 5 {
		config := r.sh("read go; exit 5")
		config.Stdin, config.StdinOnce = true, true
		id := r.launch(config)
		r.check(r.Runtime.Attach(r.ctx, id, container.Streams{Stdin: strings.NewReader("go\n"), Stdout: &buffer{}}))
		if s := r.status(id); s.State != cri.ContainerState_CONTAINER_EXITED || s.ExitCode != 5 {
			r.Fatalf("status is %v with %d", s.State, s.ExitCode)
		}
	}
}

func attachSeveral(r *rig) {
	config := r.sh("while read line; do echo got $line; done; echo done")
	config.Stdin, config.StdinOnce = true, true
	id := r.launch(config)
	input, feed := io.Pipe()
	outputs := make([]buffer, 4)
	ended := make(chan error, len(outputs))
	for i := range outputs {
		streams := container.Streams{Stdout: &outputs[i]}
		if i == 0 {
			streams.Stdin = input
		}
		go func() { ended <- r.Runtime.Attach(r.ctx, id, streams) }()
	}
	all := func(text string) func() bool {
		return func() bool {
			for i := range outputs {
				if !strings.Contains(outputs[i].String(), text) {
					return false
				}
			}
			return true
		}
	}
	r.eventually("all are attached", func() bool { // what was said before is not shown
		fmt.Fprintln(feed, "again")
		return all("got again\n")()
	})
	feed.Close()
	for range outputs {
		r.check(<-ended)
	}
	if !all("done\n")() {
		r.Error("the last word did not reach all")
	}
}
