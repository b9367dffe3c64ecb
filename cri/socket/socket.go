// Package socket makes and reaches unix sockets at paths of any length: the kernel takes 108 bytes only, so the folder is
// named by an open file.
package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Listen makes a socket that only its owner may use, in place of what a server that is gone has left. Where one answers,
// it fails. The socket stays when the listener is closed.
func Listen(path string) (net.Listener, error) {
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

func listen(path string) (net.Listener, error) {
	if conn, err := Dial(context.Background(), path); err == nil {
		conn.Close()
		return nil, syscall.EADDRINUSE
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	// Until its mode is set, the socket is in a folder that nobody else may enter.
	private, err := os.MkdirTemp(filepath.Dir(path), ".socket-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	dir, err := os.Open(private)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short(dir, "s"), Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	made := filepath.Join(private, "s")
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Dial reaches the socket at path.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", short(dir, filepath.Base(path)))
	if err != nil {
		var why syscall.Errno
		if errors.As(err, &why) {
			return nil, fmt.Errorf("dial %s: %w", path, why)
		}
		return nil, err
	}
	return conn, nil
}

// short names a file of an open folder.
func short(dir *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
}

// Path reads an endpoint as users write it: unix:///run/x.sock, or just the path.
func Path(endpoint string) (string, error) {
	path, unix := strings.CutPrefix(endpoint, "unix://")
	if !unix && strings.Contains(endpoint, "://") || !filepath.IsAbs(path) {
		return "", fmt.Errorf("%q is not the endpoint of a unix socket, such as unix:///run/containerd/containerd.sock", endpoint)
	}
	return path, nil
}
