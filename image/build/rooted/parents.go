package rooted

import (
	"path"

	"golang.org/x/sys/unix"
)

// Parents makes the directories above target that are missing, as many as there are levels, as those above source look.
func (c Copy) Parents(from *Tree, source string, to *Tree, target string, levels int) error {
	if levels < 1 {
		return nil
	}
	source, target = path.Dir(source), path.Dir(target)
	if err := c.Parents(from, source, to, target, levels-1); err != nil {
		return err
	}
	return c.Directory(from, source, to, target)
}

// Directory makes a directory that looks as another, without what is in it, if it is missing.
func (c Copy) Directory(from *Tree, source string, to *Tree, target string) error {
	dst, made, err := to.makeDirs(target, c.newOwner())
	if err != nil {
		return err
	}
	defer unix.Close(dst)
	if !made {
		return nil
	}
	src, err := from.openDir(source)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return err
	}
	return setDirectory(dst, c.attributes(&st))
}
