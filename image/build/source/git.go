package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"dhow/image/build/rooted"
)

// Repository is a git repository, and what of it is wanted.
type Repository struct {
	Remote string
	Ref    string // a branch, tag or commit; the remote's HEAD if empty
	Subdir string
}

// userAt is scp's way to name what ssh fetches: git@host:path.
var userAt = regexp.MustCompile(`^[a-zA-Z0-9_.-]+@[a-zA-Z0-9_.-]+:`)

// ParseRepository reads REMOTE[#REF[:SUBDIR]]. Of what begins with http it takes only what ends with .git.
func ParseRepository(word string) (r Repository, ok bool) {
	remote, fragment, _ := strings.Cut(word, "#")
	r.Remote = remote
	r.Ref, r.Subdir, _ = strings.Cut(fragment, ":")
	u, err := url.Parse(remote)
	switch {
	case userAt.MatchString(remote):
		return r, true
	case strings.HasPrefix(remote, "github.com/"):
		r.Remote = "https://" + remote
		return r, true
	case err != nil:
		return r, false
	case u.Scheme == "git" || u.Scheme == "ssh":
		return r, true
	default:
		return r, (u.Scheme == "http" || u.Scheme == "https") && strings.HasSuffix(u.Path, ".git")
	}
}

// Fetch checks the repository out in a new directory, submodules included, and gives the commit. It is done by the
// machine's git.
func (r Repository) Fetch(ctx context.Context, dir string, keepHistory bool) (commit string, err error) {
	if _, err := exec.LookPath("git"); err != nil {
		return "", fmt.Errorf("%s: git is needed for repositories, and this machine has none: install it, or clone into the build context", r.Remote)
	}
	if strings.HasPrefix(r.Ref, "-") || strings.HasPrefix(r.Remote, "-") {
		return "", fmt.Errorf("%s#%s: a repository or ref does not begin with -", r.Remote, r.Ref)
	}
	git := func(args ...string) (string, error) { return r.git(ctx, dir, args...) }
	if _, err := git("init", "-q"); err != nil {
		return "", err
	}
	if err := r.checkOut(git); err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, ".gitmodules")); err == nil {
		if _, err := git("remote", "add", "origin", r.Remote); err != nil {
			return "", err
		}
		if _, err := git("submodule", "-q", "update", "--init", "--recursive"); err != nil {
			return "", err
		}
	}
	if commit, err = git("rev-parse", "HEAD"); err != nil || keepHistory {
		return commit, err
	}
	return commit, os.RemoveAll(filepath.Join(dir, ".git"))
}

// CheckOut fetches the repository without its history, and tells where what is wanted of it lies: below dir, wherever
// links in the repository lead.
func (r Repository) CheckOut(ctx context.Context, dir string) (inside string, err error) {
	if _, err := r.Fetch(ctx, dir, false); err != nil {
		return "", err
	}
	tree, err := rooted.Open(dir)
	if err != nil {
		return "", err
	}
	defer tree.Close()
	found, err := tree.Resolve(r.Subdir)
	if err != nil {
		return "", fmt.Errorf("repository %s: directory %s: %w", r.Remote, r.Subdir, err)
	}
	return filepath.Join(dir, found), nil
}

// checkOut fetches what is wanted alone, or, of servers that do not give that, everything.
func (r Repository) checkOut(git func(...string) (string, error)) error {
	ref := r.Ref
	if ref == "" {
		ref = "HEAD"
	}
	target := "FETCH_HEAD"
	if _, err := git("fetch", "-q", "--depth=1", r.Remote, ref); err != nil {
		if _, whole := git("fetch", "-q", "--tags", r.Remote, "+refs/heads/*:refs/heads/*", "HEAD"); whole != nil {
			return errors.Join(err, whole)
		}
		if r.Ref != "" {
			target = r.Ref
		}
		if _, err := git("rev-parse", "--quiet", "--verify", target+"^{commit}"); err != nil {
			return fmt.Errorf("repository %s has no branch, tag or commit %s", r.Remote, ref)
		}
	}
	_, err := git("checkout", "-q", "--detach", target)
	return err
}

// git runs it without the user's and the machine's settings that could ask, or run, something.
func (r Repository) git(ctx context.Context, dir string, args ...string) (string, error) {
	safe := []string{"-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never"}
	for _, p := range []string{"http", "https", "git", "ssh"} {
		safe = append(safe, "-c", "protocol."+p+".allow=always")
	}
	cmd := exec.CommandContext(ctx, "git", append(safe, args...)...)
	cmd.Dir = dir
	mine := slices.DeleteFunc(cmd.Environ(), func(e string) bool { return strings.HasPrefix(e, "GIT_") })
	cmd.Env = append(mine, "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "GIT_SSH_COMMAND=ssh -o BatchMode=yes")
	var out, failed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failed
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("repository %s: git %s: %w: %s", r.Remote, strings.TrimLeft(args[0], "-"), err, strings.TrimSpace(failed.String()))
	}
	return strings.TrimSpace(out.String()), nil
}
