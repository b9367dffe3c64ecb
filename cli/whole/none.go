//go:build !packed

package whole

// Program is the whole program as internal/packed packs it, nil where it was not put in.
var Program []byte
