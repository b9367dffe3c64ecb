package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"dhow/image/build/rooted"
	"dhow/image/layers"
)

// dockerfileMost bounds a Dockerfile.
const dockerfileMost = 4 << 20

// FromStream reads a Dockerfile, or an archive that is the context, which is unpacked in dir.
func FromStream(in io.Reader, dir string) (isContext bool, dockerfile []byte, err error) {
	buffered := bufio.NewReaderSize(in, 1024)
	head, err := buffered.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, nil, err
	}
	if !layers.IsArchive(head) {
		dockerfile, err = readAll(buffered)
		return false, dockerfile, err
	}
	tree, err := rooted.Open(dir)
	if err != nil {
		return true, nil, err
	}
	defer tree.Close()
	return true, nil, tree.Untar(buffered, "/", rooted.Copy{})
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

// File is a Dockerfile.
type File struct {
	// Name is for messages, and for <Name>.dockerignore.
	Name string
	Data []byte
	// Ignore is what lies beside it as <Name>.dockerignore, if that is outside of the context; else nil.
	Ignore []byte
}

// Dockerfile reads the Dockerfile of a context. One that is named lies anywhere on this machine, or, when the context
// came from elsewhere, in that; input is read in its place if it is not nil.
func Dockerfile(context, named string, fetched bool, input io.Reader) (f File, err error) {
	switch {
	case input != nil:
		f.Name = "Dockerfile"
		f.Data, err = readAll(input)
		return f, err
	case named != "" && !fetched:
		return onMachine(context, named)
	case named == "":
		named = "Dockerfile"
	}
	f.Name = named
	tree, err := rooted.Open(context)
	if err != nil {
		return f, err
	}
	defer tree.Close()
	file, err := tree.OpenFile(named)
	if err != nil {
		return f, fmt.Errorf("failed to read dockerfile: %w", err)
	}
	defer file.Close()
	f.Data, err = readAll(file)
	return f, err
}

func onMachine(context, named string) (File, error) {
	f := File{Name: named}
	file, err := os.Open(named)
	if err != nil {
		return f, err
	}
	defer file.Close()
	if f.Data, err = readAll(file); err != nil {
		return f, err
	}
	from, err1 := filepath.Abs(context)
	to, err2 := filepath.Abs(named)
	if rel, err := filepath.Rel(from, to); err1 == nil && err2 == nil && err == nil && filepath.IsLocal(rel) {
		f.Name = rel
		return f, nil
	}
	beside, err := os.ReadFile(named + ".dockerignore")
	if err == nil {
		f.Ignore = append([]byte{}, beside...) // not nil, even if it is empty
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return f, err
}
