// Package demo shows the main job on this machine: a server from nothing, a two-tier application from ordinary
// manifests, scaling, a rolling update, and a daemon that is killed while requests go on. It uses dhow as a
// user does, through its binary, and expects to run in namespaces of its own (internal/isolate).
package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"k8s.io/client-go/kubernetes"
)

// Config of the demonstration.
type Config struct {
	// Self is the dhow binary, Dir an empty directory for everything it makes.
	Self, Dir string
	// Out is told what happens; Err gets the server's own log.
	Out, Err io.Writer
}

// show is one run of the demonstration.
type show struct {
	Config
	ctx    context.Context
	server *server
	client kubernetes.Interface
	begin  time.Time
}

// step is one thing to see. A step's text is printed before it runs, its time after.
type step struct {
	text string
	run  func() error
}

// Run plays all steps and cleans up, also after an error or when ctx ends.
func Run(ctx context.Context, c Config) (err error) {
	s := &show{Config: c, ctx: ctx, begin: time.Now()}
	defer func() {
		if cleanErr := s.cleanUp(); err == nil {
			err = cleanErr
		}
	}()
	stopRegistry, err := s.serveImages()
	if err != nil {
		return err
	}
	defer stopRegistry()
	for _, step := range s.steps() {
		if err := s.play(step); err != nil {
			return err
		}
	}
	fmt.Fprintf(s.Out, "\nAll of it in %s.\n", round(time.Since(s.begin)))
	return nil
}

func (s *show) steps() []step {
	return []step{
		{"start a server from nothing, until its node is Ready", s.startServer},
		{"apply a two-tier application: kubectl apply -f examples/two-tier", s.apply},
		{"ask it from the host, through the NodePort", s.askNodePort},
		{"ask it from a pod, by the Service's name", s.askByName},
		{"scale web from 3 to 10 replicas", s.scale},
		{"update web to version 2 under constant requests", s.update},
		{"roll back to version 1", s.rollBack},
		{"read a pod's log, run a command in it, forward a port to it", s.logsExecForward},
		{"kill the daemon with SIGKILL while requests go on, and start it again", s.killDaemon},
	}
}

func (s *show) play(step step) error {
	if err := s.ctx.Err(); err != nil {
		return fmt.Errorf("interrupted before: %s", step.text)
	}
	fmt.Fprintf(s.Out, "\n▸ %s\n", step.text)
	begin := time.Now()
	if err := step.run(); err != nil {
		return fmt.Errorf("%s: %w", step.text, err)
	}
	s.say("done in %s", round(time.Since(begin)))
	return nil
}

// say prints one detail of the present step.
func (s *show) say(format string, args ...any) {
	fmt.Fprintf(s.Out, "  "+format+"\n", args...)
}

// cleanUp stops the server, removes every trace with dhow reset, and then the directory.
func (s *show) cleanUp() error {
	fmt.Fprintf(s.Out, "\n▸ clean up: dhow reset\n")
	if s.server != nil {
		s.server.stop()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), time.Minute)
	defer cancel()
	if out, err := s.dhow(ctx, "reset", "--yes"); err != nil {
		return fmt.Errorf("dhow reset: %w\n%s", err, out)
	}
	return os.RemoveAll(s.Dir)
}

func round(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}
