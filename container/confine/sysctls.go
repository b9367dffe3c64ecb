package confine

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// CheckSysctl says whether a kernel parameter may be set: it must belong to a network, IPC or UTS namespace (namespaces(7)),
// and own must say that this kind, CLONE_NEWNET and so on, is not the machine's. Parts of a name are parted by dots, or by
// slashes where they have dots themselves (sysctl.d(5)).
func CheckSysctl(name string, own func(kind uint64) bool) error {
	separator := "."
	if strings.Contains(name, "/") {
		separator = "/"
	}
	parts := strings.Split(name, separator)
	if slices.ContainsFunc(parts, func(part string) bool { return part == "" || part == "." || part == ".." }) {
		return fmt.Errorf("sysctl %q: a part of its name is missing, or leads elsewhere", name)
	}
	kind, whose := namespaceOf(strings.Join(parts, "."))
	if kind == 0 {
		return fmt.Errorf("sysctl %s is the whole machine's; a container can set net.*, kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* and kernel.domainname", name)
	}
	if !own(kind) {
		return fmt.Errorf("sysctl %s needs a %s namespace that is not the machine's or another container's", name, whose)
	}
	return nil
}

func namespaceOf(name string) (kind uint64, whose string) {
	switch {
	case strings.HasPrefix(name, "net."):
		return unix.CLONE_NEWNET, "network"
	case strings.HasPrefix(name, "kernel.msg"), strings.HasPrefix(name, "kernel.shm"), name == "kernel.sem", strings.HasPrefix(name, "fs.mqueue."):
		return unix.CLONE_NEWIPC, "ipc"
	case name == "kernel.domainname", name == "kernel.hostname":
		return unix.CLONE_NEWUTS, "uts"
	}
	return 0, ""
}
