// Package health counts the results of a container's health checks, as docker does. It runs none.
package health

import "time"

// Check is how a container's health is found out. Zero values are the defaults.
type Check struct {
	// Test is ["NONE"], ["CMD", args…] or ["CMD-SHELL", command].
	Test     []string      `json:"test,omitempty"`
	Interval time.Duration `json:"interval,omitempty"`
	Timeout  time.Duration `json:"timeout,omitempty"`
	// StartPeriod is how long failures do not count; StartInterval the time between checks meanwhile.
	StartPeriod   time.Duration `json:"startPeriod,omitempty"`
	StartInterval time.Duration `json:"startInterval,omitempty"`
	Retries       int           `json:"retries,omitempty"`
}

// Docker's defaults, and how many results it keeps.
const (
	every      = 30 * time.Second
	startEvery = 5 * time.Second
	retries    = 3
	kept       = 5
)

// The states of a container's health.
const (
	Starting  = "starting"
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
)

// Effective is a check with its defaults; nil if there is none.
func (c *Check) Effective() *Check {
	if c == nil || len(c.Test) == 0 || c.Test[0] == "NONE" {
		return nil
	}
	e := *c
	for _, d := range []struct {
		of       *time.Duration
		standard time.Duration
	}{{&e.Interval, every}, {&e.Timeout, every}, {&e.StartInterval, startEvery}} {
		if *d.of == 0 {
			*d.of = d.standard
		}
	}
	if e.Retries == 0 {
		e.Retries = retries
	}
	return &e
}

// Command is what is executed in the container.
func (c *Check) Command() []string {
	if c.Test[0] == "CMD-SHELL" {
		return append([]string{"/bin/sh", "-c"}, c.Test[1:]...)
	}
	return c.Test[1:]
}

// Fill takes what other says where c is silent, and gives a new check.
func (c *Check) Fill(other Check) *Check {
	own := Check{}
	if c != nil {
		own = *c
	}
	if len(own.Test) == 0 {
		own.Test = other.Test
	}
	for _, d := range []struct{ mine, theirs *time.Duration }{
		{&own.Interval, &other.Interval}, {&own.Timeout, &other.Timeout}, {&own.StartPeriod, &other.StartPeriod}, {&own.StartInterval, &other.StartInterval},
	} {
		if *d.mine == 0 {
			*d.mine = *d.theirs
		}
	}
	if own.Retries == 0 {
		own.Retries = other.Retries
	}
	return &own
}

// State is what the checks of a container have found.
type State struct {
	Status        string
	FailingStreak int
	Log           []Result
	// Runtime is the run of the container that was checked.
	Runtime string `json:"runtime"`
}

// Result is one check's.
type Result struct {
	Start, End time.Time
	ExitCode   int
	Output     string
}

// Pause is the time until the next check, so long after the container's start.
func (s *State) Pause(c *Check, after time.Duration) time.Duration {
	if s.Status == Starting && after < c.StartPeriod {
		return min(c.StartInterval, c.Interval)
	}
	return c.Interval
}

// Take counts a result, so long after the container's start: failures in the start period do not count until one has
// succeeded.
func (s *State) Take(r Result, c *Check, after time.Duration) {
	s.Log = append(s.Log, r)
	s.Log = s.Log[max(0, len(s.Log)-kept):]
	if r.ExitCode == 0 {
		s.Status, s.FailingStreak = Healthy, 0
		return
	}
	if after < c.StartPeriod && s.Status == Starting {
		return
	}
	if s.FailingStreak++; s.FailingStreak >= c.Retries {
		s.Status = Unhealthy
	}
}
