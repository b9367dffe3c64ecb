// Command tools is pgrep and ipcs, as far as tests use them and Debian's busybox has none.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if filepath.Base(os.Args[0]) == "ipcs" {
		segments()
		return
	}
	if len(os.Args) != 2 {
		log.Fatal("usage: pgrep NAME")
	}
	if !processes(os.Args[1]) {
		os.Exit(1)
	}
}

// segments shows shared memory as the kernel lists it.
func segments() {
	data, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(data))
}

// processes prints the number of each whose name has the text.
func processes(name string) (found bool) {
	files, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range files {
		comm, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(comm), name) {
			fmt.Println(filepath.Base(filepath.Dir(f)))
			found = true
		}
	}
	return found
}
