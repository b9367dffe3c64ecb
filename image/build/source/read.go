package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"dhow/image/build/rooted"
)

// dockerfileMost bounds a Dockerfile.
const dockerfileMost = 4 << 20

// IsRemote tells contexts that would have to be fetched.
func IsRemote(context string) bool {
	for _, prefix := range []string{"http://", "https://", "git://", "ssh://", "git@", "github.com/"} {
		if strings.HasPrefix(context, prefix) {
			return true
		}
	}
	return false
}

// FromStream reads a Dockerfile, or an archive that is the context, which is unpacked in a directory for the caller to
// remove.
func FromStream(in io.Reader) (dir string, dockerfile []byte, err error) {
	buffered := bufio.NewReaderSize(in, 1024)
	head, err := buffered.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", nil, err
	}
	if !isArchive(head) {
		dockerfile, err = readAll(buffered)
		return "", dockerfile, err
	}
	if dir, err = os.MkdirTemp("", "dhow-context-"); err != nil {
		return "", nil, err
	}
	tree, err := rooted.Open(dir)
	if err != nil {
		return dir, nil, err
	}
	defer tree.Close()
	return dir, nil, tree.Untar(buffered, "/", rooted.Copy{})
}

func isArchive(head []byte) bool {
	for _, magic := range []string{"\x1f\x8b", "BZh", "\x28\xb5\x2f\xfd"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return len(head) == 512 && bytes.Equal(head[257:262], []byte("ustar"))
}

func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, dockerfileMost+1))
	if err == nil && len(data) > dockerfileMost {
		err = fmt.Errorf("the Dockerfile is larger than %d MiB", dockerfileMost>>20)
	}
	if err == nil && len(bytes.TrimSpace(data)) == 0 {
		err = errors.New("the Dockerfile cannot be empty")
	}
	return data, err
}

// Dockerfile reads the Dockerfile of a context. One that is named lies anywhere on this machine, or, when the context
// came as an archive, in that; input is read in its place if it is not nil. Its name is for messages.
func Dockerfile(context, named string, archive bool, input io.Reader) (name string, data []byte, err error) {
	if input != nil {
		data, err = readAll(input)
		return "Dockerfile", data, err
	}
	if named != "" && !archive {
		f, err := os.Open(named)
		if err != nil {
			return named, nil, err
		}
		defer f.Close()
		data, err = readAll(f)
		if rel, err := filepath.Rel(context, named); err == nil && filepath.IsLocal(rel) {
			named = rel
		}
		return named, data, err
	}
	if named == "" {
		named = "Dockerfile"
	}
	tree, err := rooted.Open(context)
	if err != nil {
		return named, nil, err
	}
	defer tree.Close()
	f, err := tree.OpenFile(named)
	if err != nil {
		return named, nil, fmt.Errorf("failed to read dockerfile: %w", err)
	}
	defer f.Close()
	data, err = readAll(f)
	return named, data, err
}
