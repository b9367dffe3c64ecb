// Package engine keeps containers without a cluster, as docker users know them: names, records that outlive a reboot,
// volumes, networks, restart policies. There is no daemon: each process opens the records, takes a container's lock,
// does its work and ends; what runs is held by the container's shim (package container). It prints nothing and parses
// no flags.
package engine
