package output

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Filters are the values of --filter name=value, by name. Values of one name are alternatives, except of labels.
type Filters map[string][]string

// ParseFilters reads --filter flags and refuses names that a command does not know.
func ParseFilters(flags []string, known ...string) (Filters, error) {
	f := Filters{}
	for _, flag := range flags {
		name, value, ok := strings.Cut(flag, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if !ok {
			return nil, fmt.Errorf("invalid argument %q for --filter: it is not of the form name=value", flag)
		}
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("invalid filter %q: there are %s", name, strings.Join(known, ", "))
		}
		f[name] = append(f[name], strings.TrimSpace(value))
	}
	return f, nil
}

// Bool is the value of a filter that is true or false; set is false when it was not given.
func (f Filters) Bool(name string) (value, set bool, err error) {
	for _, text := range f[name] {
		if value, err = strconv.ParseBool(text); err != nil {
			return false, true, fmt.Errorf("invalid filter '%s=%s': it is true or false", name, text)
		}
		set = true
	}
	return value, set, nil
}

// Labels tells whether labels have all that the filter name wants: key, or key=value.
func (f Filters) Labels(name string, labels map[string]string) bool {
	for _, want := range f[name] {
		key, value, exact := strings.Cut(want, "=")
		got, ok := labels[key]
		if !ok || exact && got != value {
			return false
		}
	}
	return true
}

// Without tells whether labels have none of those that the filter label! names.
func (f Filters) Without(labels map[string]string) bool {
	for _, unwanted := range f["label!"] {
		if (Filters{"": {unwanted}}).Labels("", labels) {
			return false
		}
	}
	return true
}

// Time is the time that a filter such as until names: a duration before now, a date and time, or seconds since 1970.
func (f Filters) Time(name string, now time.Time) (time.Time, error) {
	values := f[name]
	if len(values) == 0 {
		return time.Time{}, nil
	}
	if len(values) > 1 {
		return time.Time{}, fmt.Errorf("more than one %s filter specified", name)
	}
	at, err := ParseTime(values[0], now)
	if err != nil {
		return at, fmt.Errorf("invalid filter '%s=%s': %w", name, values[0], err)
	}
	return at, nil
}

// ParseTime reads a duration before now ("1h30m"), a date or date and time, or seconds since 1970.
func ParseTime(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && seconds < 1e11 {
		return time.UnixMicro(int64(seconds * 1e6)), nil
	}
	return time.Time{}, fmt.Errorf("neither a duration such as 24h nor a time such as %s", now.UTC().Format(time.RFC3339))
}
