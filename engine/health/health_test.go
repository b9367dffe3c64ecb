package health

import (
	"testing"
	"time"
)

func TestFailuresAreCounted(t *testing.T) {
	check := (&Check{Test: []string{"CMD", "x"}, Retries: 2, StartPeriod: time.Minute}).Effective()
	for name, c := range map[string]struct {
		codes  []int
		after  time.Duration // of each
		status string
		streak int
	}{
		"none yet":                        {nil, 0, Starting, 0},
		"one success":                     {[]int{0}, 0, Healthy, 0},
		"failures of the start period":    {[]int{1, 1, 1}, time.Second, Starting, 0},
		"failures after a success there":  {[]int{0, 1, 1}, time.Second, Unhealthy, 2},
		"one failure later":               {[]int{1}, time.Hour, Starting, 1},
		"two failures later":              {[]int{1, 1}, time.Hour, Unhealthy, 2},
		"a success ends the streak":       {[]int{1, 1, 0, 1}, time.Hour, Healthy, 1},
		"a check that could not be run":   {[]int{-1, -1}, time.Hour, Unhealthy, 2},
		"more results than five are lost": {[]int{0, 0, 0, 0, 0, 0, 0}, time.Hour, Healthy, 0},
	} {
		s := State{Status: Starting}
		for _, code := range c.codes {
			s.Take(Result{ExitCode: code}, check, c.after)
		}
		if s.Status != c.status || s.FailingStreak != c.streak || len(s.Log) > 5 {
			t.Errorf("%s: %s, streak %d, %d results", name, s.Status, s.FailingStreak, len(s.Log))
		}
	}
}

func TestChecksComeMoreOftenInTheStartPeriod(t *testing.T) {
	c := (&Check{Test: []string{"CMD", "x"}, Interval: time.Minute, StartPeriod: time.Hour}).Effective()
	starting, healthy := State{Status: Starting}, State{Status: Healthy}
	for _, p := range []struct{ got, want time.Duration }{
		{starting.Pause(c, 0), 5 * time.Second}, {starting.Pause(c, 2*time.Hour), time.Minute}, {healthy.Pause(c, 0), time.Minute},
	} {
		if p.got != p.want {
			t.Errorf("%v, want %v", p.got, p.want)
		}
	}
}

func TestTheUserIsHeardBeforeTheImage(t *testing.T) {
	image := Check{Test: []string{"CMD-SHELL", "image"}, Interval: time.Second, Retries: 7}
	for name, c := range map[string]struct {
		own  *Check
		want []string
	}{
		"silent":   {nil, []string{"/bin/sh", "-c", "image"}},
		"a number": {&Check{Retries: 1}, []string{"/bin/sh", "-c", "image"}},
		"a test":   {&Check{Test: []string{"CMD", "own"}}, []string{"own"}},
	} {
		got := c.own.Fill(image).Effective()
		if len(got.Command()) != len(c.want) || got.Command()[0] != c.want[0] || got.Interval != time.Second {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, c := range []*Check{nil, {}, (&Check{Test: []string{"NONE"}}).Fill(image)} {
		if c.Effective() != nil {
			t.Errorf("%+v is a check", c)
		}
	}
}
