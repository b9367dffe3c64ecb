package flagtext

import (
	"encoding/csv"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"dhow/container"
	"dhow/engine"
)

// Volume reads --volume: [SOURCE:]TARGET[:OPTIONS]. Relative sources are below dir, and an error if that is empty.
func Volume(text, dir string) (engine.Mount, error) {
	wrong := func(why string) (engine.Mount, error) {
		return engine.Mount{}, fmt.Errorf("invalid volume specification: '%s': %s", text, why)
	}
	parts := strings.Split(text, ":")
	m := engine.Mount{Type: engine.MountVolume}
	var options string
	switch len(parts) {
	case 1:
		m.Target = parts[0]
	case 2:
		m.Source, m.Target = parts[0], parts[1]
		if !filepath.IsAbs(m.Target) && isVolumeOptions(m.Target) {
			m.Source, m.Target, options = "", parts[0], parts[1]
		}
	case 3:
		m.Source, m.Target, options = parts[0], parts[1], parts[2]
	default:
		return wrong("want [SOURCE:]TARGET[:OPTIONS]")
	}
	if !filepath.IsAbs(m.Target) {
		return wrong("invalid mount path: '" + m.Target + "' mount path must be absolute")
	}
	if len(parts) > 1 && m.Source == "" && options == "" {
		return wrong("the source is empty")
	}
	if strings.HasPrefix(m.Source, "/") || strings.HasPrefix(m.Source, ".") || strings.HasPrefix(m.Source, "~") {
		m.Type, m.CreateSource = engine.MountBind, true
		if !filepath.IsAbs(m.Source) {
			if dir == "" {
				return wrong("its source is relative to a working directory that has been removed")
			}
			m.Source = filepath.Join(dir, m.Source)
		}
		m.Source = filepath.Clean(m.Source)
	}
	if options == "" {
		return m, nil
	}
	for option := range strings.SplitSeq(options, ",") {
		if err := volumeOption(&m, option); err != nil {
			return wrong(err.Error())
		}
	}
	return m, nil
}

func isVolumeOptions(text string) bool {
	for option := range strings.SplitSeq(text, ",") {
		if volumeOption(&engine.Mount{}, option) != nil {
			return false
		}
	}
	return true
}

var propagations = []string{"private", "rprivate", "slave", "rslave", "shared", "rshared"}

func volumeOption(m *engine.Mount, option string) error {
	switch {
	case option == "ro":
		m.ReadOnly = true
	case option == "rro":
		m.ReadOnly, m.Recursive = true, true
	case option == "rw":
	case option == "nocopy":
		m.NoCopy = true
	case slices.Contains(propagations, option):
		m.Propagation = option
	case option == "z":
		m.Relabel = "shared"
	case option == "Z":
		m.Relabel = "private"
	default:
		return fmt.Errorf("invalid mode: %s", option)
	}
	return nil
}

// Mount reads --mount: type=…,source=…,target=…. It is a mount, or a file system in memory.
func Mount(text string) (engine.Mount, *container.Tmpfs, error) {
	m := engine.Mount{Type: engine.MountVolume, Long: true}
	t := container.Tmpfs{}
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return m, nil, fmt.Errorf("invalid argument %q for \"--mount\" flag: %w", text, err)
	}
	kind := engine.MountVolume
	for _, field := range fields {
		key, value, has := strings.Cut(field, "=")
		if err := mountField(&m, &t, &kind, strings.ToLower(strings.TrimSpace(key)), value, has); err != nil {
			return m, nil, fmt.Errorf("invalid argument %q for \"--mount\" flag: %w", text, err)
		}
	}
	if m.Target == "" {
		return m, nil, fmt.Errorf("invalid argument %q for \"--mount\" flag: target is required", text)
	}
	switch kind {
	case "tmpfs":
		t.Target = m.Target
		if m.Source != "" {
			return m, nil, fmt.Errorf("invalid argument %q for \"--mount\" flag: a tmpfs has no source", text)
		}
		return m, &t, nil
	case engine.MountBind:
		if m.Source == "" {
			return m, nil, fmt.Errorf("invalid argument %q for \"--mount\" flag: source is required for a bind mount", text)
		}
	case engine.MountVolume:
	default:
		return m, nil, fmt.Errorf("invalid argument %q for \"--mount\" flag: type %q is none of bind, volume and tmpfs", text, kind)
	}
	m.Type = kind
	return m, nil, nil
}

func mountField(m *engine.Mount, t *container.Tmpfs, kind *string, key, value string, has bool) error {
	yes := true
	if has {
		if b, err := strconv.ParseBool(value); err == nil {
			yes = b
		}
	}
	var err error
	switch key {
	case "type":
		*kind = strings.ToLower(value)
	case "source", "src":
		m.Source = value
	case "target", "destination", "dst":
		m.Target = value
	case "readonly", "ro":
		m.ReadOnly = yes
	case "bind-recursive":
		if value != "enabled" && value != "readonly" && value != "writable" {
			return fmt.Errorf("bind-recursive %q is not had here", value)
		}
		m.Recursive = value == "readonly"
	case "bind-propagation":
		if !slices.Contains(propagations, value) {
			return fmt.Errorf("invalid propagation %q", value)
		}
		m.Propagation = value
	case "bind-create-src":
		m.CreateSource = yes
	case "volume-nocopy":
		m.NoCopy = yes
	case "volume-driver":
		m.Driver = value
	case "volume-label":
		m.Labels = setPair(m.Labels, value)
	case "volume-opt":
		m.Options = setPair(m.Options, value)
	case "tmpfs-size":
		t.Size, err = Bytes(value)
	case "tmpfs-mode":
		var mode uint64
		mode, err = strconv.ParseUint(value, 8, 32)
		t.Mode = uint32(mode)
	default:
		return fmt.Errorf("unexpected key '%s'", key)
	}
	return err
}

func setPair(m map[string]string, pair string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	key, value, _ := strings.Cut(pair, "=")
	m[key] = value
	return m
}

// Tmpfs reads --tmpfs: TARGET[:OPTIONS].
func Tmpfs(text string) (container.Tmpfs, error) {
	target, options, _ := strings.Cut(text, ":")
	t := container.Tmpfs{Target: target}
	if !filepath.IsAbs(target) {
		return t, fmt.Errorf("invalid tmpfs %q: mount path must be absolute", text)
	}
	for option := range strings.SplitSeq(options, ",") {
		key, value, _ := strings.Cut(option, "=")
		var err error
		switch key {
		case "":
		case "size":
			t.Size, err = Bytes(value)
		case "mode":
			var mode uint64
			mode, err = strconv.ParseUint(value, 8, 32)
			t.Mode = uint32(mode)
		default:
			t.Options = append(t.Options, option)
		}
		if err != nil {
			return t, fmt.Errorf("invalid tmpfs %q: %w", text, err)
		}
	}
	return t, nil
}
