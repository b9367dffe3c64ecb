// Package container runs containers by Linux' own means: namespaces, cgroups, overlayfs, seccomp. One shim
// process per pod holds its namespaces and survives the daemon; Engine is the daemon's side. It neither
// pulls images nor makes network links: it is given both.
package container
