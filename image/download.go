package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"dhow/image/filelock"
)

// errAnother is a blob that does not hash to its digest.
var errAnother = errors.New("is not what its manifest says")

// stageRemote downloads a blob into a file and unpacks it on the way. What has come stays when the connection breaks,
// and the next attempt, of this process or another, goes on there.
func (s *Store) stageRemote(ctx context.Context, lease *Lease, in incoming, progress func(Progress)) (staged, error) {
	hex := bare(in.desc.Digest.String())
	unlock, err := filelock.Wait(ctx, s.path("locks", "blob-"+hex), func() {})
	if err != nil {
		return staged{}, err
	}
	defer unlock()
	path := s.path("downloads", hex)
	made, suspect, err := s.stageFile(ctx, lease, path, in, progress)
	if suspect {
		made, _, err = s.stageFile(ctx, lease, path, in, progress)
	}
	return made, err
}

// stageFile calls a failure suspect if it may come of what was there before, which a crash may have spoilt.
func (s *Store) stageFile(ctx context.Context, lease *Lease, path string, in incoming, progress func(Progress)) (made staged, suspect bool, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return made, false, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	d := newDownload(f, in.desc.Size, sha256.New())
	before, err := d.begin()
	if err != nil {
		cancel(nil)
		return made, false, errors.Join(err, f.Close())
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.end(d.fetch(ctx, in, progress))
	}()
	made, err = s.stage(lease, d)
	if err == nil {
		err = d.verify(in.desc.Digest.String())
	}
	broke := d.broke()
	cancel(err) // who waits for the rest of a broken archive waits no more
	<-ended
	full := errors.Is(err, unix.ENOSPC)
	keep := err != nil && broke && !full
	suspect = err != nil && !keep && !full && before > 0
	err = errors.Join(err, f.Close())
	if !keep {
		err = errors.Join(err, ignoreMissing(os.Remove(path)))
	}
	return made, suspect, err
}

// download is a file that one goroutine fills and another reads meanwhile.
type download struct {
	file *os.File
	size int64
	hash hash.Hash
	read int64

	mu      sync.Mutex
	more    sync.Cond
	written int64
	over    bool
	err     error // of the connection
}

func newDownload(f *os.File, size int64, h hash.Hash) *download {
	d := &download{file: f, size: size, hash: h}
	d.more.L = &d.mu
	return d
}

// begin takes what is there of the blob; more than it has is something else.
func (d *download) begin() (before int64, err error) {
	info, err := d.file.Stat()
	if err != nil {
		return 0, err
	}
	if info.Size() > d.size {
		return 0, d.file.Truncate(0)
	}
	d.written = info.Size()
	return d.written, nil
}

// fetch writes the rest of the blob.
func (d *download) fetch(ctx context.Context, in incoming, progress func(Progress)) error {
	if d.written == d.size {
		return nil
	}
	body, err := in.open(ctx, d.written)
	if err != nil {
		return err
	}
	defer body.Close()
	p := Progress{Digest: in.desc.Digest.String(), Status: "downloading", Done: d.written, Total: d.size}
	progress(p)
	from := &counting{Reader: io.LimitReader(body, d.size-d.written+1), p: p, tell: progress}
	buffer := make([]byte, 256<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := d.file.WriteAt(buffer[:n], d.written); err != nil {
				return err
			}
			d.grow(int64(n))
		}
		if d.written > d.size {
			return fmt.Errorf("%w: the registry sends more than %d bytes", errAnother, d.size)
		}
		if errors.Is(err, io.EOF) {
			return d.whole()
		}
		if err != nil {
			return err
		}
	}
}

func (d *download) whole() error {
	if d.written < d.size {
		return fmt.Errorf("the registry sent %d of %d bytes: %w", d.written, d.size, io.ErrUnexpectedEOF)
	}
	return nil
}

func (d *download) grow(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written += n
	d.more.Broadcast()
}

func (d *download) end(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over, d.err = true, err
	d.more.Broadcast()
}

// broke tells whether the connection is to blame for the end.
func (d *download) broke() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err != nil && !errors.Is(d.err, errAnother)
}

// Read gives what has come and waits for more.
func (d *download) Read(p []byte) (int, error) {
	d.mu.Lock()
	for d.read == d.written && !d.over {
		d.more.Wait()
	}
	there, err := d.written-d.read, d.err
	d.mu.Unlock()
	if there == 0 {
		if err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	n, err := d.file.ReadAt(p[:min(int64(len(p)), there)], d.read)
	d.hash.Write(p[:n])
	d.read += int64(n)
	return n, err
}

// verify compares what was read with the digest.
func (d *download) verify(digest string) error {
	if got := "sha256:" + hex.EncodeToString(d.hash.Sum(nil)); got != digest {
		return fmt.Errorf("%w: the registry sent a blob with digest %s", errAnother, got)
	}
	return nil
}
