package shim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	mobyuser "github.com/moby/sys/user"
	"golang.org/x/sys/unix"
)

// user is who a command runs as.
type user struct {
	uid, gid uint32
	groups   []uint32
	home     string
}

// resolveUser looks the user up in the root's own /etc/passwd and /etc/group; both may be missing.
func resolveUser(p *Process) (user, error) {
	name, group, hasGroup := strings.Cut(p.User, ":")
	if p.UID != nil {
		name = strconv.FormatInt(*p.UID, 10)
		if !hasGroup || group == "" {
			hasGroup = false
		}
	}
	if p.GID != nil {
		group, hasGroup = strconv.FormatInt(*p.GID, 10), true
	}
	spec := name
	if hasGroup {
		spec += ":" + group
	}
	passwd, err := open("/etc/passwd")
	if err != nil {
		return user{}, err
	}
	defer passwd.Close()
	groups, err := open("/etc/group")
	if err != nil {
		return user{}, err
	}
	defer groups.Close()
	found, err := mobyuser.GetExecUser(spec, &mobyuser.ExecUser{Home: "/"}, passwd, groups)
	if err != nil {
		return user{}, fmt.Errorf("user %q: %w", p.User, err)
	}
	u := user{uid: uint32(found.Uid), gid: uint32(found.Gid), home: found.Home}
	for _, g := range found.Sgids {
		u.groups = append(u.groups, uint32(g))
	}
	u.groups = append(u.groups, p.Groups...)
	if !slices.Contains(u.groups, u.gid) {
		u.groups = append(u.groups, u.gid)
	}
	return u, nil
}

// open gives an empty file for a missing one, and for one that is a link to what is missing. What is there must be a
// file: reading a pipe that an image has in its place would never end.
func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return os.Open(os.DevNull)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// withHome adds HOME, where the environment has none.
func withHome(env []string, home string) []string {
	for _, kv := range env {
		if strings.HasPrefix(kv, "HOME=") {
			return env
		}
	}
	return append(env, "HOME="+home)
}
