package cli

import (
	"io/fs"
	"os"
	"syscall"
)

// ownUmask makes what the engine and the cluster keep as it is meant: under a user's umask(2) of 077 the files of
// images would be out of reach for the users in containers. Files that the user asked for keep to his.
func (e *environment) ownUmask() { e.umask = fs.FileMode(syscall.Umask(0o022)) }

// usersUmask is for programs that have nothing but the user's files to make.
func (e *environment) usersUmask() { syscall.Umask(int(e.umask)) }

// fileMode is that of a file that the user asked for.
func (e *environment) fileMode() fs.FileMode { return 0o666 &^ e.umask }

// createFile makes or empties a file that the user asked for.
func (e *environment) createFile(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, e.fileMode())
}
