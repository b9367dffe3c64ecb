// Package signals reads the names of signals, as docker's flags, images, the OCI runtime command line and CRI spell them.
package signals

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The real-time signals, as C libraries number them: they keep two for themselves.
const (
	firstRealTime = 34
	last          = 64
)

// Parse reads "SIGTERM", "term", "15", "SIGRTMIN+3", "SIGRTMAX-1", and CRI's "SIGNAL_SIGRTMINPLUS3". 0 is no signal, by which one
// asks whether a process is there (kill(2)).
func Parse(text string) (unix.Signal, error) {
	if n, err := strconv.Atoi(text); err == nil {
		if n < 0 || n > last {
			return 0, fmt.Errorf("signal %d is not between 0 and %d", n, last)
		}
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIGNAL_")
	name = "SIG" + strings.TrimPrefix(name, "SIG")
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	if sig := synonyms[name]; sig != 0 {
		return sig, nil
	}
	if sig, ok := realTime(name); ok {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown signal %q", text)
}

// synonyms are older names (signal(7)).
var synonyms = map[string]unix.Signal{"SIGCLD": unix.SIGCHLD, "SIGIOT": unix.SIGABRT, "SIGPOLL": unix.SIGIO}

func realTime(name string) (unix.Signal, bool) {
	name = strings.NewReplacer("PLUS", "+", "MINUS", "-").Replace(name)
	for prefix, end := range map[string]struct {
		sign byte
		n    int
	}{"SIGRTMIN": {'+', firstRealTime}, "SIGRTMAX": {'-', last}} {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		n := end.n
		if rest != "" {
			by, err := strconv.ParseUint(rest[1:], 10, 8)
			if err != nil || rest[0] != end.sign {
				return 0, false
			}
			if n += int(by); end.sign == '-' {
				n = end.n - int(by)
			}
		}
		return unix.Signal(n), n >= firstRealTime && n <= last
	}
	return 0, false
}
