// Package shimbinary holds the shim as a program of its own, where the build has put it in: `make build` does, under the
// tag shimbinary. Without it the whole program plays the shim, which works as well but costs each pod 1.4 MB more and
// each start of a container some milliseconds (docs/benchmarks.md).
package shimbinary

// Version is the same for the same program, and another for another: 32 hex digits of its SHA-256.
func Version() string { return sum[:min(32, len(sum))] }
