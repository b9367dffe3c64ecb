// Package network gives pods their links and addresses: a point-to-point veth pair each, addresses from the
// node's pod CIDR, masquerade on the way out, host ports. Sub-package nft is the nftables helper that
// service proxy and network policy share. It knows pods only as sandbox ids.
package network
