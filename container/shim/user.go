package shim

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// user is who a command runs as.
type user struct {
	uid, gid uint32
	groups   []uint32
	home     string
}

// resolveUser looks the user up in the root's own /etc/passwd and /etc/group; both may be missing. The groups that
// list the user are the user's, unless the image names a group.
func resolveUser(p *Process) (user, error) {
	name, group, _ := strings.Cut(p.User, ":")
	if p.UID != nil {
		name = strconv.FormatInt(*p.UID, 10)
	}
	merge := !p.StrictGroups && (group == "" || p.GID != nil)
	if p.GID != nil {
		group = strconv.FormatInt(*p.GID, 10)
	}
	u, login, err := findUser(name)
	if err == nil {
		err = u.addGroups(group, login, merge)
	}
	if err != nil {
		return user{}, fmt.Errorf("user %q: %w", p.User, err)
	}
	u.groups = append(u.groups, p.Groups...)
	for _, name := range p.GroupNames {
		var further user
		if err := further.addGroups(name, "", false); err != nil {
			return user{}, err
		}
		u.groups = append(u.groups, further.gid)
	}
	if !slices.Contains(u.groups, u.gid) {
		u.groups = append(u.groups, u.gid)
	}
	return u, nil
}

// findUser finds a user by name or number (passwd(5): name, password, uid, gid, comment, home, shell); no name is
// number 0. A number need not be there.
func findUser(name string) (u user, login string, err error) {
	if name == "" {
		name = "0"
	}
	u.home = "/"
	found := false
	err = entries("/etc/passwd", func(f []string) error {
		if len(f) < 6 || found || f[0] != name && f[2] != name {
			return nil
		}
		found, login, u.home = true, f[0], f[5]
		var err error
		if u.uid, err = number(f[2]); err != nil {
			return err
		}
		u.gid, err = number(f[3])
		return err
	})
	if err != nil || found {
		return u, login, err
	}
	if u.uid, err = number(name); err != nil {
		return u, "", errors.New("not in the image's /etc/passwd, and not a number of a user")
	}
	return u, "", nil
}

// addGroups sets the user's group, where one is named, and merges those that list the user by name (group(5): name,
// password, gid, members).
func (u *user) addGroups(group, login string, merge bool) error {
	found := group == ""
	err := entries("/etc/group", func(f []string) error {
		if len(f) < 3 {
			return nil
		}
		gid, err := number(f[2])
		if err != nil {
			return nil // somebody else's
		}
		if !found && (f[0] == group || f[2] == group) {
			found, u.gid = true, gid
		}
		if merge && login != "" && len(f) > 3 && slices.Contains(strings.Split(f[3], ","), login) {
			u.groups = append(u.groups, gid)
		}
		return nil
	})
	if err != nil || found {
		return err
	}
	if u.gid, err = number(group); err != nil {
		return fmt.Errorf("group %q is not in the image's /etc/group, and not a number of a group", group)
	}
	return nil
}

// number reads the number of a user or group.
func number(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err == nil && n > math.MaxInt32 {
		err = strconv.ErrRange
	}
	return uint32(n), err
}

// entries calls f with the fields of each line of a file that may be missing.
func entries(path string, f func(fields []string) error) error {
	file, err := open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 4<<10), 1<<20)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := f(strings.Split(line, ":")); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
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
