// Package crilog reads containers' logs in CRI format: a line is "<RFC 3339 time> <stream> <F or P> <text>", where P
// marks the first parts of a line that was too long for one.
package crilog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Options choose what of a log is read.
type Options struct {
	// Follow goes on as more is written, until Alive says no and the end is reached.
	Follow bool
	Alive  func() bool
	// Timestamps puts each line's time before it.
	Timestamps bool
	// Since leaves out what is older.
	Since time.Time
	// Until leaves out what is younger, and ends the reading there; never when zero.
	Until time.Time
	// Tail is how many of the last lines are read, all when negative.
	Tail int64
	// Limit ends the output after so many bytes, never when negative.
	Limit int64
	// Older are the paths of what rotation has moved away, the oldest first. Those that do not exist are left out.
	Older []string
}

// All is everything that has been written so far.
func All() Options { return Options{Tail: -1, Limit: -1} }

// followEvery is how often a file that is followed is looked at.
const followEvery = 50 * time.Millisecond

// errFull ends the reading at the limit, of bytes or of time.
var errFull = errors.New("limit reached")

// Read writes the log at path to stdout and stderr, by stream. Either may be nil, to leave that stream out.
func Read(ctx context.Context, path string, o Options, stdout, stderr io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	r := &reader{options: o, path: path, file: f, left: o.Limit, stdout: stdout, stderr: stderr}
	defer func() { r.file.Close() }()
	older, err := openOlder(o.Older, f)
	if err != nil {
		return err
	}
	defer closeAll(older)
	if o.Tail >= 0 {
		if older, err = seekLast(older, f, o.Tail); err != nil {
			return fmt.Errorf("read log: %w", err)
		}
	}
	err = r.all(ctx, older)
	if errors.Is(err, errFull) {
		return nil
	}
	return err
}

// openOlder opens what was moved away. The log itself may have been, since it was opened.
func openOlder(paths []string, log *os.File) ([]*os.File, error) {
	newest, err := log.Stat()
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, path := range paths {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("open log: %w", err)
		}
		if info, err := f.Stat(); err == nil && os.SameFile(info, newest) {
			f.Close()
			continue
		}
		files = append(files, f)
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// seekLast goes to where the last n lines of all files begin, and leaves out the files before.
func seekLast(older []*os.File, newest *os.File, n int64) ([]*os.File, error) {
	found, err := seekTail(newest, n)
	for i := len(older) - 1; i >= 0 && err == nil; i-- {
		if n -= found; n == 0 {
			return older[i+1:], nil
		}
		found, err = seekTail(older[i], n)
	}
	return older, err
}

// all reads the older files, then the log itself.
func (r *reader) all(ctx context.Context, older []*os.File) error {
	log, follow := r.file, r.options.Follow
	r.options.Follow = false
	for _, f := range older {
		r.file = f
		if err := r.read(ctx); err != nil {
			r.file = log
			return err
		}
	}
	r.file, r.options.Follow = log, follow
	return r.read(ctx)
}

type reader struct {
	options        Options
	path           string
	file           *os.File
	left           int64
	stdout, stderr io.Writer
	begun          map[string]bool // streams whose line has been written in part
}

func (r *reader) read(ctx context.Context) error {
	if r.begun == nil {
		r.begun = map[string]bool{}
	}
	buffered := bufio.NewReaderSize(r.file, 64<<10)
	var line []byte
	for {
		part, err := buffered.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			if err := r.line(line); err != nil {
				return err
			}
			line = line[:0]
			continue
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case !errors.Is(err, io.EOF):
			return fmt.Errorf("read log: %w", err)
		}
		more, err := r.wait(ctx, len(line) == 0)
		if err != nil || !more {
			return err
		}
		buffered.Reset(r.file)
	}
}

// wait is called at the end of the file. It returns when there may be more, in this file or in the one that has taken
// its place; false when there will be none.
func (r *reader) wait(ctx context.Context, atLineEnd bool) (bool, error) {
	if !r.options.Follow {
		return false, nil
	}
	alive := r.options.Alive == nil || r.options.Alive()
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		if grown, err := r.grown(); grown || err != nil {
			return grown, err
		}
		if replaced, err := r.replaced(); atLineEnd && replaced || err != nil {
			return replaced, err
		}
		if !alive {
			return false, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false, nil
		}
		alive = r.options.Alive == nil || r.options.Alive()
	}
}

func (r *reader) grown() (bool, error) {
	at, err := r.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return false, err
	}
	info, err := r.file.Stat()
	return err == nil && info.Size() > at, err
}

// replaced opens the file that rotation has put in the place of this one.
func (r *reader) replaced() (bool, error) {
	mine, err := r.file.Stat()
	if err != nil {
		return false, err
	}
	now, err := os.Stat(r.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && os.SameFile(mine, now) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// Once there is a new file the old one is complete, but it may have grown since it was looked at.
	if grown, err := r.grown(); grown || err != nil {
		return false, err
	}
	f, err := os.Open(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r.file.Close()
	r.file = f
	return true, nil
}

// line writes one line of the log where it belongs.
func (r *reader) line(line []byte) error {
	fields := bytes.SplitN(bytes.TrimSuffix(line, []byte("\n")), []byte(" "), 4)
	if len(fields) < 4 {
		return nil // cut off by a crash
	}
	stream := string(fields[1])
	to := r.stdout
	if stream == "stderr" {
		to = r.stderr
	}
	if to == nil {
		return nil
	}
	if !r.options.Since.IsZero() || !r.options.Until.IsZero() {
		at, err := time.Parse(time.RFC3339Nano, string(fields[0]))
		if err == nil && at.Before(r.options.Since) {
			return nil
		}
		if err == nil && !r.options.Until.IsZero() && at.After(r.options.Until) {
			return errFull
		}
	}
	var out []byte
	if r.options.Timestamps && !r.begun[stream] {
		out = append(append(out, fields[0]...), ' ')
	}
	out = append(out, fields[3]...)
	whole := len(fields[2]) > 0 && fields[2][0] == 'F'
	r.begun[stream] = !whole
	if whole {
		out = append(out, '\n')
	}
	return r.write(to, out)
}

func (r *reader) write(to io.Writer, out []byte) error {
	if r.left >= 0 && int64(len(out)) >= r.left {
		if _, err := to.Write(out[:r.left]); err != nil {
			return err
		}
		return errFull
	}
	if r.left >= 0 {
		r.left -= int64(len(out))
	}
	_, err := to.Write(out)
	return err
}

// seekTail goes to where the last n lines begin, and says how many there are.
func seekTail(f *os.File, n int64) (int64, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || n == 0 {
		return 0, err
	}
	block := make([]byte, 64<<10)
	lines := int64(-1) // the end of the last line begins none
	for at := end; at > 0; {
		size := min(at, int64(len(block)))
		at -= size
		if _, err := f.ReadAt(block[:size], at); err != nil {
			return 0, err
		}
		for i := size - 1; i >= 0; i-- {
			if block[i] != '\n' {
				continue
			}
			if lines++; lines == n {
				_, err := f.Seek(at+i+1, io.SeekStart)
				return n, err
			}
		}
	}
	_, err = f.Seek(0, io.SeekStart)
	return lines + 1, err
}
