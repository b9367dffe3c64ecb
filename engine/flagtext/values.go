package flagtext

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"dhow/container"
	"dhow/engine"
)

// Bytes reads a size such as 64m or 1.5GB; units are powers of 1024.
func Bytes(text string) (int64, error) {
	number := strings.TrimRight(strings.ToLower(strings.TrimSpace(text)), "bi")
	scale := float64(1)
	if number != "" {
		if i := strings.IndexByte("kmgtp", number[len(number)-1]); i >= 0 {
			number = number[:len(number)-1]
			for range i + 1 {
				scale *= 1024
			}
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(n >= 0 && n*scale <= 1<<62) { // nor NaN
		return 0, fmt.Errorf("invalid size: '%s'", text)
	}
	return int64(n * scale), nil
}

// CPUs reads --cpus: a number of processors, as a quota of microseconds in each 100,000.
func CPUs(text string) (quota int64, err error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0.01 && n <= 1<<20) { // nor NaN
		return 0, fmt.Errorf("invalid argument %q for \"--cpus\" flag: not a number of processors such as 1.5", text)
	}
	return int64(n * 100000), nil
}

// Ulimit reads --ulimit: TYPE=SOFT[:HARD]; -1 is no limit.
func Ulimit(text string) (container.Rlimit, error) {
	kind, values, ok := strings.Cut(text, "=")
	soft, hard, two := strings.Cut(values, ":")
	if !two {
		hard = soft
	}
	r := container.Rlimit{Type: kind}
	var err1, err2 error
	r.Soft, err1 = rlimit(soft)
	r.Hard, err2 = rlimit(hard)
	if !ok || kind == "" || err1 != nil || err2 != nil {
		return r, fmt.Errorf("invalid ulimit argument: %s", text)
	}
	if r.Soft > r.Hard {
		return r, fmt.Errorf("ulimit soft limit must be less than or equal to hard limit: %s", text)
	}
	return r, nil
}

func rlimit(text string) (uint64, error) {
	if text == "-1" || text == "unlimited" {
		return container.RlimitInfinity, nil
	}
	return strconv.ParseUint(text, 10, 64)
}

// Device reads --device: HOST[:CONTAINER][:rwm].
func Device(text string) (engine.Device, error) {
	parts := strings.Split(text, ":")
	d := engine.Device{Host: parts[0], Container: parts[0], Permissions: "rwm"}
	switch len(parts) {
	case 1:
	case 2:
		if isPermissions(parts[1]) {
			d.Permissions = parts[1]
		} else {
			d.Container = parts[1]
		}
	case 3:
		d.Container, d.Permissions = parts[1], parts[2]
	default:
		return d, fmt.Errorf("invalid device specification: %s", text)
	}
	if !strings.HasPrefix(d.Container, "/") || !isPermissions(d.Permissions) {
		return d, fmt.Errorf("invalid device specification: %s", text)
	}
	return d, nil
}

func isPermissions(text string) bool {
	return text != "" && len(text) <= 3 && strings.Trim(text, "rwm") == ""
}

// DeviceRate reads --device-read-bps and the like: PATH:RATE.
func DeviceRate(text string, bytes bool) (container.DeviceLimit, error) {
	path, rate, ok := strings.Cut(text, ":")
	l := container.DeviceLimit{Path: path}
	if !ok || !strings.HasPrefix(path, "/dev/") {
		return l, fmt.Errorf("bad format: %s: want <device-path>:<number>[<unit>]", text)
	}
	if bytes {
		n, err := Bytes(rate)
		if err != nil {
			return l, fmt.Errorf("invalid rate for device: %s", text)
		}
		l.Rate = uint64(n)
		return l, nil
	}
	n, err := strconv.ParseUint(rate, 10, 64)
	if err != nil {
		return l, fmt.Errorf("invalid rate for device: %s", text)
	}
	l.Rate = n
	return l, nil
}

// WeightDevice reads --blkio-weight-device: PATH:WEIGHT.
func WeightDevice(text string) (container.WeightDevice, error) {
	path, weight, ok := strings.Cut(text, ":")
	n, err := strconv.ParseUint(weight, 10, 16)
	w := container.WeightDevice{Path: path, Weight: uint16(n)}
	if !ok || err != nil || !strings.HasPrefix(path, "/dev/") || n != 0 && (n < 10 || n > 1000) {
		return w, fmt.Errorf("invalid weight for device: %s: want <device-path>:<10 to 1000>", text)
	}
	return w, nil
}

// Restart reads --restart.
func Restart(text string) (container.Restart, error) {
	policy, count, has := strings.Cut(text, ":")
	r := container.Restart{Policy: policy}
	switch policy {
	case "", container.RestartNo, container.RestartAlways, container.RestartUnlessStopped:
		if has {
			return r, fmt.Errorf("invalid restart policy format: maximum retry count can only be used with 'on-failure': %s", text)
		}
	case container.RestartOnFailure:
		if !has {
			break
		}
		n, err := strconv.Atoi(count)
		if err != nil || n < 0 {
			return r, fmt.Errorf("invalid restart policy format: maximum retry count must be an integer: %s", text)
		}
		r.MaxRetries = n
	default:
		return r, fmt.Errorf("invalid restart policy: unknown policy '%s'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", policy)
	}
	return r, nil
}

// Host reads --add-host: NAME:ADDRESS or NAME=ADDRESS.
func Host(text string) (string, error) {
	name, address, ok := strings.Cut(text, "=")
	if !ok {
		name, address, ok = strings.Cut(text, ":")
	}
	address = strings.Trim(address, "[]")
	if _, err := netip.ParseAddr(address); !ok || name == "" || err != nil && address != "host-gateway" {
		return "", fmt.Errorf("bad format for add-host: %q", text)
	}
	return name + ":" + address, nil
}

// UserNS reads --userns: a mode, or FIRST:COUNT of the machine's ids.
func UserNS(text string) (mode string, ids *engine.UserRange, err error) {
	switch text {
	case "", "host", "auto", "private":
		return text, nil, nil
	}
	first, count, _ := strings.Cut(text, ":")
	a, err1 := strconv.ParseUint(first, 10, 32)
	n, err2 := strconv.ParseUint(count, 10, 32)
	if err1 != nil || err2 != nil || a == 0 || n == 0 || a+n > 1<<32-1 {
		return "", nil, fmt.Errorf("--userns: invalid mode %q: want host, auto, or FIRST:COUNT of this machine's ids such as 100000:65536", text)
	}
	return "", &engine.UserRange{First: uint32(a), Count: uint32(n)}, nil
}

// Pairs reads KEY=value texts; a key alone has an empty value.
func Pairs(texts []string) map[string]string {
	if len(texts) == 0 {
		return nil
	}
	m := map[string]string{}
	for _, text := range texts {
		key, value, _ := strings.Cut(text, "=")
		m[key] = value
	}
	return m
}

// Lines reads the entries of an --env-file or --label-file: one a line, # for comments.
func Lines(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimLeft(lines.Text(), " \t")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if key, _, _ := strings.Cut(line, "="); strings.ContainsAny(key, " \t") || key == "" {
			return nil, fmt.Errorf("%s: %q: a name has no blanks and is not empty", filepath.Base(path), line)
		}
		all = append(all, line)
	}
	return all, lines.Err()
}
