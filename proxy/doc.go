// Package proxy leads the traffic of Services to their endpoints by nftables: it reads Services and EndpointSlices,
// plans for each Service what the kernel must know, and writes only what changed. It forwards no packet itself, and
// what it wrote goes on working when it has ended.
package proxy
