// Package owner reads --chown and --chmod: names are those of the image that is built.
package owner

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"dhow/image/build/rooted"
)

// accountsMost bounds /etc/passwd and /etc/group.
const accountsMost = 8 << 20

// In reads --chown: names and numbers of a user and a group, the names being the image's. A user alone brings
// its own group. Without a tree there are no names.
func In(t *rooted.Tree, text string) (*rooted.Owner, error) { return read(t, "--chown=", text) }

// User is In of what USER says.
func User(t *rooted.Tree, text string) (*rooted.Owner, error) { return read(t, "USER ", text) }

func read(t *rooted.Tree, of, text string) (*rooted.Owner, error) {
	if text == "" {
		return &rooted.Owner{}, nil
	}
	user, group, given := strings.Cut(text, ":")
	owner := rooted.Owner{}
	if n, err := strconv.ParseUint(user, 10, 31); err == nil {
		owner = rooted.Owner{UID: int(n), GID: int(n)}
	} else {
		fields, err := account(t, "/etc/passwd", user, 4)
		if err != nil {
			return nil, fmt.Errorf("invalid user %q in %s%s: %w", user, of, text, err)
		}
		uid, err1 := strconv.Atoi(fields[2])
		gid, err2 := strconv.Atoi(fields[3])
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("%s%s: /etc/passwd has no numbers for %s", of, text, user)
		}
		owner = rooted.Owner{UID: uid, GID: gid}
	}
	if !given {
		return &owner, nil
	}
	if n, err := strconv.ParseUint(group, 10, 31); err == nil {
		owner.GID = int(n)
		return &owner, nil
	}
	fields, err := account(t, "/etc/group", group, 3)
	if err != nil {
		return nil, fmt.Errorf("invalid group %q in %s%s: %w", group, of, text, err)
	}
	if owner.GID, err = strconv.Atoi(fields[2]); err != nil {
		return nil, fmt.Errorf("%s%s: /etc/group has no number for %s", of, text, group)
	}
	return &owner, nil
}

func account(t *rooted.Tree, file, name string, atLeast int) ([]string, error) {
	if t == nil {
		return nil, errors.New("it is not a number, and the image is empty")
	}
	data, err := t.ReadFile(file, accountsMost)
	if err != nil {
		return nil, fmt.Errorf("it is not a number, and the image has no %s", file)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if fields := strings.Split(lines.Text(), ":"); fields[0] == name && len(fields) >= atLeast {
			return fields, nil
		}
	}
	return nil, fmt.Errorf("the image's %s does not have it", file)
}

// ParseMode reads --chmod: an octal number, or chmod(1)'s symbols (u=rwX,go-w).
func ParseMode(text string) (func(uint32, bool) uint32, error) {
	if text == "" {
		return nil, nil
	}
	if n, err := strconv.ParseUint(text, 8, 32); err == nil {
		if n > 0o7777 {
			return nil, fmt.Errorf("invalid chmod parameter: %q: it should be octal and between 0 and 07777", text)
		}
		return func(uint32, bool) uint32 { return uint32(n) }, nil
	}
	var changes []func(uint32, bool) uint32
	for clause := range strings.SplitSeq(text, ",") {
		change, err := parseClause(clause)
		if err != nil {
			return nil, fmt.Errorf("invalid chmod parameter: %q: %w", text, err)
		}
		changes = append(changes, change)
	}
	return func(mode uint32, dir bool) uint32 {
		for _, change := range changes {
			mode = change(mode, dir)
		}
		return mode
	}, nil
}

// parseClause reads one of chmod(1)'s clauses: who, one operator, rights.
func parseClause(clause string) (func(uint32, bool) uint32, error) {
	at := strings.IndexAny(clause, "+-=")
	if at < 0 {
		return nil, fmt.Errorf("%q is neither octal nor such as u=rwx", clause)
	}
	who, op, rights := clause[:at], clause[at], clause[at+1:]
	var mask uint32
	for _, c := range who {
		bits, ok := map[rune]uint32{'u': 0o4700, 'g': 0o2070, 'o': 0o1007, 'a': 0o7777}[c]
		if !ok {
			return nil, fmt.Errorf("%q: %c is none of u, g, o and a", clause, c)
		}
		mask |= bits
	}
	if who == "" {
		mask = 0o7777
	}
	var bits uint32
	conditional := false
	for _, c := range rights {
		add, ok := map[rune]uint32{'r': 0o444, 'w': 0o222, 'x': 0o111, 'X': 0, 's': 0o6000, 't': 0o1000}[c]
		if !ok {
			return nil, fmt.Errorf("%q: %c is none of r, w, x, X, s and t", clause, c)
		}
		bits |= add
		conditional = conditional || c == 'X'
	}
	return func(mode uint32, dir bool) uint32 {
		set := bits
		if conditional && (dir || mode&0o111 != 0) {
			set |= 0o111
		}
		switch op {
		case '+':
			return mode | set&mask
		case '-':
			return mode &^ (set & mask)
		default:
			return mode&^(mask&0o777) | set&mask
		}
	}, nil
}
