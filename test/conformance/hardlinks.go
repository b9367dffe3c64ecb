package main

import (
	"os"
	"syscall"
)

// fileID tells files apart, whatever their names.
type fileID struct{ device, inode uint64 }

// anotherName says whether a file with several names was met before, and under which.
func anotherName(info os.FileInfo, name string, first map[fileID]string) (string, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || stat.Nlink < 2 {
		return "", false
	}
	id := fileID{uint64(stat.Dev), stat.Ino}
	if earlier, met := first[id]; met {
		return earlier, true
	}
	first[id] = name
	return "", false
}
