// Package nft writes nftables rule sets over netlink: families that differ only in sizes and offsets, batches that
// are applied as a whole or not at all, and the few expressions that pod links, service proxy and network policy
// are made of. It holds no state and decides nothing.
package nft
