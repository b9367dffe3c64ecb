package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dhow/container"
	"dhow/engine"
)

const defaultDetachKeys = "ctrl-p,ctrl-q"

// errDetached: the user typed the keys that leave a container running.
var errDetached = errors.New("detached")

// attachOptions are how this program's streams and signals go to a container.
type attachOptions struct {
	streams map[string]bool
	keys    string
	proxy   bool
}

// runAttached starts a container with this program's streams, and returns its exit code when it ends, or 0 when the user
// detaches.
func runAttached(ctx context.Context, env *environment, service *engine.Service, c *engine.Container, o attachOptions) (int, error) {
	return attached(ctx, env, service, c, o, func(ctx context.Context, streams container.Streams, started func(*engine.Container)) error {
		return service.StartAttached(ctx, c.ID, streams, started)
	})
}

// attached connects the terminal and the signals while join runs, then asks for the exit code.
func attached(ctx context.Context, env *environment, service *engine.Service, c *engine.Container, o attachOptions,
	join func(context.Context, container.Streams, func(*engine.Container)) error) (int, error) {
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	streams := pick(env, o.streams, c.Spec.TTY)
	if streams.Stdin != nil {
		keys, err := detachKeys(o.keys)
		if err != nil {
			return 0, err
		}
		if c.Spec.TTY {
			streams.Stdin = &detachReader{from: streams.Stdin, keys: keys, detach: func() { cancel(errDetached) }}
		}
	}
	if c.Spec.TTY && term.IsTerminal(int(os.Stdin.Fd())) {
		restore, sizes, err := rawTerminal(ctx)
		if err != nil {
			return 0, err
		}
		defer restore()
		streams.Resize = sizes
	}
	signals := hearSignals(o.proxy && !c.Spec.TTY)
	defer signals.stop()
	err := join(ctx, streams, func(now *engine.Container) {
		pass := func(s syscall.Signal) { _ = service.Signal(outer, c.ID, s) } // it may just have ended
		if !o.proxy || c.Spec.TTY {
			pass = func(s syscall.Signal) { cancel(interruption(s)) }
		}
		go signals.give(pass)
	})
	var left interruption
	if errors.As(context.Cause(ctx), &left) {
		return 128 + int(left), nil
	}
	if errors.Is(context.Cause(ctx), errDetached) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return service.Outcome(outer, c.ID)
}

// interruption is the signal that made this program leave a container alone.
type interruption syscall.Signal

func (i interruption) Error() string { return syscall.Signal(i).String() }

// signals are what this program is sent, from before the container has started.
type signals struct {
	heard chan os.Signal
	done  chan struct{}
}

// hearSignals hears all that mean something to a container, or those that end this program only.
func hearSignals(all bool) signals {
	s := signals{make(chan os.Signal, 16), make(chan struct{})}
	signal.Notify(s.heard, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	if all {
		signal.Notify(s.heard, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGCONT)
	}
	return s
}

// give passes them on until stop.
func (s signals) give(pass func(syscall.Signal)) {
	for {
		select {
		case one := <-s.heard:
			pass(one.(syscall.Signal))
		case <-s.done:
			return
		}
	}
}

func (s signals) stop() {
	signal.Stop(s.heard)
	close(s.done)
}

// detachKeys reads "ctrl-p,ctrl-q" or "a,b".
func detachKeys(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	var keys []byte
	for key := range strings.SplitSeq(text, ",") {
		rest, ctrl := strings.CutPrefix(key, "ctrl-")
		switch {
		case len(rest) != 1:
			return nil, fmt.Errorf("invalid detach keys %q: unknown character: '%s'", text, key)
		case !ctrl:
			keys = append(keys, rest[0])
		case rest[0] >= 'a' && rest[0] <= 'z':
			keys = append(keys, rest[0]-'a'+1)
		case strings.IndexByte("@[\\]^_", rest[0]) >= 0:
			keys = append(keys, rest[0]&0x1f)
		default:
			return nil, fmt.Errorf("invalid detach keys %q: unknown character: '%s'", text, key)
		}
	}
	return keys, nil
}

// detachReader watches for the detach keys; those typed in part go on to the container when others follow.
type detachReader struct {
	from    io.Reader
	keys    []byte
	matched int
	detach  func()
	rest    []byte
	ended   error
}

func (r *detachReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.ended != nil {
			return 0, r.ended
		}
		buffer := make([]byte, len(p))
		n, err := r.from.Read(buffer)
		r.ended = err
		for _, b := range buffer[:n] {
			if r.key(b) {
				r.detach()
				r.ended = io.EOF
				break
			}
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// key takes one byte, and says whether it was the last of the keys.
func (r *detachReader) key(b byte) bool {
	if len(r.keys) == 0 {
		r.rest = append(r.rest, b)
		return false
	}
	if b != r.keys[r.matched] {
		r.rest = append(r.rest, r.keys[:r.matched]...)
		r.matched = 0
		if b != r.keys[0] {
			r.rest = append(r.rest, b)
			return false
		}
	}
	r.matched++
	return r.matched == len(r.keys)
}

func needsTerminal(*environment) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return errors.New("the input device is not a TTY")
	}
	return nil
}

func newAttachCommand(env *environment) *cobra.Command {
	var noStdin bool
	o := attachOptions{proxy: true}
	cmd := &cobra.Command{
		Use:   "attach [flags] CONTAINER",
		Short: "Attach to a running container's streams",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := context.WithoutCancel(cmd.Context())
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			c, err := service.Get(ctx, args[0])
			if err != nil {
				return err
			}
			if !c.Alive() {
				return errors.New("cannot attach to a stopped container, start it first")
			}
			o.streams = map[string]bool{"stdin": !noStdin && c.Spec.Stdin, "stdout": true, "stderr": true}
			code, err := attached(ctx, env, service, c, o, func(ctx context.Context, s container.Streams, started func(*engine.Container)) error {
				started(c)
				return service.Attach(ctx, c.ID, s)
			})
			if err == nil && code != 0 {
				return exitStatus(code)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&noStdin, "no-stdin", false, "do not attach stdin")
	cmd.Flags().StringVar(&o.keys, "detach-keys", defaultDetachKeys, "keys that detach from the container")
	cmd.Flags().BoolVar(&o.proxy, "sig-proxy", true, "pass signals on to the container")
	return cmd
}
