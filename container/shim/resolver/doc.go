// Package resolver is the DNS server at 127.0.0.11 of a container on networks that users made. It knows the names of a
// hosts file, and passes everything else on to other servers. It lives in the shim, and so in the container's network
// namespace, and imports little (see shimentry): no net, no netip.
package resolver
