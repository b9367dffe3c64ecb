// Package whole holds the whole program, compressed, where the build has put it into the one that has no cluster: `make build`
// does, under the tag packed (ARCHITECTURE.md, "Two programs in one file").
package whole
