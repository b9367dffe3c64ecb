// Command pause waits for ever: the container of the benchmarks' pods.
package main

import "syscall"

func main() {
	for {
		_ = syscall.Pause() // returns for signals that are handled
	}
}
