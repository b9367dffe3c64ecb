package foreign

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// user looks up in the image's /etc/passwd and /etc/group who a container runs as: OCI runtimes take numbers only.
func user(s *cri.LinuxContainerSecurityContext, image ocispec.ImageConfig, root string) (specs.User, error) {
	inside, err := os.OpenRoot(root)
	if err != nil {
		return specs.User{}, err
	}
	defer inside.Close()
	name, group, _ := strings.Cut(cmp.Or(s.GetRunAsUsername(), image.User, "0"), ":")
	if u := s.GetRunAsUser(); u != nil {
		name, group = strconv.FormatInt(u.Value, 10), ""
	}
	if g := s.GetRunAsGroup(); g != nil {
		group = strconv.FormatInt(g.Value, 10)
	}
	var u specs.User
	login, known := "", false
	err = lines(inside, "etc/passwd", 4, func(f []string) {
		if !known && (f[0] == name || f[2] == name) {
			login, known = f[0], true
			u.UID, u.GID = number(f[2]), number(f[3])
		}
	})
	if err != nil {
		return u, err
	}
	if !known {
		if u.UID, err = asNumber(name, "user"); err != nil {
			return u, err
		}
	}
	if s.GetSupplementalGroupsPolicy() == cri.SupplementalGroupsPolicy_Strict {
		login = "" // the image's /etc/group is not asked
	}
	if err := setGroups(&u, inside, login, group); err != nil {
		return u, err
	}
	for _, g := range s.GetSupplementalGroups() {
		u.AdditionalGids = append(u.AdditionalGids, uint32(g))
	}
	if !slices.Contains(u.AdditionalGids, u.GID) {
		u.AdditionalGids = append(u.AdditionalGids, u.GID)
	}
	return u, nil
}

// setGroups takes the group that is named, and those that list the user.
func setGroups(u *specs.User, inside *os.Root, login, group string) error {
	found := group == ""
	err := lines(inside, "etc/group", 4, func(f []string) {
		if !found && (f[0] == group || f[2] == group) {
			u.GID, found = number(f[2]), true
		}
		if login != "" && slices.Contains(strings.Split(f[3], ","), login) {
			u.AdditionalGids = append(u.AdditionalGids, number(f[2]))
		}
	})
	if err != nil || found {
		return err
	}
	u.GID, err = asNumber(group, "group")
	return err
}

// lines reads a file of fields between colons; it need not be there.
func lines(inside *os.Root, name string, fields int, each func([]string)) error {
	file, err := inside.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewScanner(file)
	for in.Scan() {
		if f := strings.Split(in.Text(), ":"); len(f) >= fields {
			each(f)
		}
	}
	return in.Err()
}

// number of an entry; one that is none is nobody's.
func number(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 65534
	}
	return uint32(n)
}

func asNumber(text, what string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%s %q is not in the image, and not a number", what, text)
	}
	return uint32(n), nil
}
