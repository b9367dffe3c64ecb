package judge

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Options are what every run is told.
type Options struct {
	Dhow        string // the binary to judge
	Focus, Skip string // regular expressions of tests' whole names
	Timeout     time.Duration
	Out         string // where binaries and results are kept from one run to the next
}

// Flags declares them. name is the run's: its results are in the user's cache below dhow-NAME, or in $NAME_OUT.
func (o *Options) Flags(name string, timeout time.Duration) {
	variable := strings.ToUpper(name) + "_OUT"
	flag.StringVar(&o.Dhow, "dhow", "", "the dhow binary to judge")
	flag.StringVar(&o.Focus, "focus", os.Getenv("FOCUS"), "run the tests whose full name matches (default: all that are meant to be run together; $FOCUS)")
	flag.StringVar(&o.Skip, "skip", os.Getenv("SKIP"), "but not those that match this (default: what takes long or measures; $SKIP)")
	flag.DurationVar(&o.Timeout, "timeout", timeout, "of the whole run")
	flag.StringVar(&o.Out, "out", os.Getenv(variable), "folder for what is built and reported (default: in the user's cache; $"+variable+")")
	if o.Out == "" {
		if cache, err := os.UserCacheDir(); err == nil {
			o.Out = filepath.Join(cache, "dhow-"+name)
		}
	}
}

// Complete checks what the flags said.
func (o *Options) Complete() error {
	switch {
	case o.Dhow == "":
		return errors.New("--dhow is missing: the path of the binary (make build makes bin/dhow)")
	case o.Out == "":
		return errors.New("--out is missing, and there is no folder for the user's cache")
	}
	var err, failed error
	o.Dhow, err = filepath.Abs(o.Dhow)
	o.Out, failed = filepath.Abs(o.Out)
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	if _, err := os.Stat(o.Dhow); err != nil {
		return fmt.Errorf("--dhow: %w", err)
	}
	return nil
}

// Env is a variable's value, or another where it is empty.
func Env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
