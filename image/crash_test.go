package image

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"golang.org/x/sys/unix"

	"dhow/internal/imagebuild"
)

// childWork tells, in the environment, a child of these tests what to do until it is killed: directory, reference
// to pull and archive to load.
const childWork = "DHOW_TEST_IMAGE_CHILD"

const (
	crashes    = 20
	layerCount = 4
)

func TestMain(m *testing.M) {
	if work := os.Getenv(childWork); work != "" {
		if err := pullForEver(strings.Split(work, "\n"), os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// pullForEver pulls, loads and removes, and prints a line when it begins.
func pullForEver(work []string, out io.Writer) error {
	dir, ref, archive := work[0], work[1], work[2]
	s, err := New(Config{Dir: dir})
	if err != nil {
		return err
	}
	for ctx := context.Background(); ; {
		if _, err := fmt.Fprintln(out, "begin"); err != nil {
			return err
		}
		if err := workOnce(ctx, s, ref, archive); err != nil {
			return err
		}
	}
}

// workOnce pulls, snapshots, commits, loads and removes.
func workOnce(ctx context.Context, s *Store, ref, archive string) error {
	if _, err := s.PullImage(ctx, ref, nil, nil); err != nil {
		return err
	}
	snap, err := s.Snapshot(ctx, "work", ref)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(snap.Upper, "new"), []byte("new"), 0o600); err != nil {
		return err
	}
	if _, err := s.Commit(ctx, "work", Commit{Names: []string{committed}}); err != nil {
		return err
	}
	loaded, err := s.loadFile(ctx, archive)
	if err != nil {
		return err
	}
	if err := s.RemoveSnapshot(ctx, "work"); err != nil {
		return err
	}
	for _, name := range append(loaded, ref, committed) {
		if err := s.RemoveImage(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// committed is the name of the child's commits.
const committed = "example.org/committed:1"

func (s *Store) loadFile(ctx context.Context, path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return s.Load(ctx, f, nil)
}

// layered is an image of several layers, each with a file of its own.
func layered(t *testing.T, content string) v1.Image {
	t.Helper()
	var image v1.Image
	for n := range layerCount {
		next, err := imagebuild.Image(v1.Config{Entrypoint: []string{"/f0"}}, imagebuild.File{Path: layerFile(n), Data: layerData(content, n)})
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			image = next
			continue
		}
		layers, err := next.Layers()
		if err != nil {
			t.Fatal(err)
		}
		if image, err = mutate.AppendLayers(image, layers...); err != nil {
			t.Fatal(err)
		}
	}
	return image
}

func layerFile(n int) string { return fmt.Sprintf("/f%d", n) }

// layerData does not compress to nothing.
func layerData(content string, n int) []byte {
	data := make([]byte, 200<<10)
	seed := [32]byte{byte(n)}
	copy(seed[1:], content)
	_, _ = rand.NewChaCha8(seed).Read(data) // it cannot fail
	return data
}

// tmpfs is a file system of its own of so many megabytes.
func tmpfs(t *testing.T, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=700", megabytes)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// killAtWork runs a child until some time after it began to work; from then on also, if in is not empty, until there is
// something in that directory.
func killAtWork(t *testing.T, work string, after time.Duration, in string) {
	t.Helper()
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), childWork+"="+work)
	var complaint strings.Builder
	child.Stderr = &complaint
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	_, _ = lines.ReadString('\n') // an end without it shows below
	killed := make(chan struct{})
	timer := time.AfterFunc(after, func() {
		defer close(killed)
		for deadline := time.Now().Add(time.Minute); in != "" && time.Now().Before(deadline); {
			if entries, err := os.ReadDir(in); err == nil && len(entries) > 0 {
				break
			}
		}
		_ = child.Process.Kill()
	})
	_, _ = io.Copy(io.Discard, lines)
	if !timer.Stop() {
		<-killed
	}
	_ = child.Wait() // it was killed
	if child.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v: %s", child.ProcessState, complaint.String())
	}
}

// whole fails unless a listed image has every file of layered's.
func whole(t *testing.T, s *Store, ref, content string) {
	t.Helper()
	snap, err := s.Snapshot(t.Context(), "check", ref)
	if err != nil {
		t.Errorf("%s: %v", ref, err)
		return
	}
	defer func() {
		if err := s.RemoveSnapshot(t.Context(), "check"); err != nil {
			t.Error(err)
		}
	}()
	if len(snap.Lower) != layerCount || snap.Config.Entrypoint[0] != "/f0" {
		t.Errorf("%s: snapshot %+v", ref, snap)
		return
	}
	for n := range layerCount {
		data, err := os.ReadFile(filepath.Join(snap.Lower[layerCount-1-n], layerFile(n)))
		if err != nil || !bytes.Equal(data, layerData(content, n)) {
			t.Errorf("%s: layer %d is not whole: %d bytes, %v", ref, n, len(data), err)
		}
	}
}

// leftovers are the files that no image, snapshot or lease accounts for.
func leftovers(t *testing.T, s *Store) []string {
	t.Helper()
	keep, err := s.mark()
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]bool{}
	for id := range keep.layers {
		wanted[s.path("layers", id)] = true
	}
	var left []string
	for _, pattern := range []string{"tmp/*", "layers/*"} {
		paths, err := filepath.Glob(s.path(pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if !wanted[path] {
				left = append(left, path)
			}
		}
	}
	return left
}

func TestAKillAtAnyMomentLeavesWholeImagesAndNothingElse(t *testing.T) {
	host, dir := serve(t, nil), tmpfs(t, 100)
	ref, archived := host+"/layered:1", "example.org/archived:1"
	push(t, layered(t, "pulled"), ref)
	archive := filepath.Join(t.TempDir(), "archive.tar")
	if err := imagebuild.WriteArchive(layered(t, "loaded"), archived, archive); err != nil {
		t.Fatal(err)
	}
	halfMade := 0
	for round := range crashes {
		in := ""
		if round%2 == 1 { // however busy the machine, not only between two works
			in = filepath.Join(dir, "tmp")
		}
		killAtWork(t, strings.Join([]string{dir, ref, archive}, "\n"), rand.N(120*time.Millisecond), in)
		if crashed, err := filepath.Glob(filepath.Join(dir, "tmp/*")); err == nil && len(crashed) > 0 {
			halfMade++
		}
		s, err := New(Config{Dir: dir})
		if err != nil {
			t.Fatalf("open after a crash: %v", err)
		}
		if left := leftovers(t, s); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		if damaged, err := s.Verify(t.Context()); err != nil || len(damaged) > 0 {
			t.Errorf("damaged %v, %v", damaged, err)
		}
		if err := s.RemoveSnapshot(t.Context(), "work"); err != nil {
			t.Fatal(err)
		}
		if err := s.RemoveImage(t.Context(), committed); err != nil {
			t.Fatal(err)
		}
		images, err := s.ListImages(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, image := range images {
			for _, tag := range image.RepoTags {
				whole(t, s, tag, map[string]string{ref: "pulled", archived: "loaded"}[tag])
			}
		}
		if _, err := s.PullImage(t.Context(), ref, nil, nil); err != nil {
			t.Fatalf("pull after a crash: %v", err)
		}
		whole(t, s, ref, "pulled")
		if err := s.RemoveImage(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
	if halfMade < crashes/4 {
		t.Errorf("only %d of %d crashes came while something was made: the test proves little", halfMade, crashes)
	}
	t.Logf("%d of %d crashes came while something was made", halfMade, crashes)
}
