//go:build !shimbinary

package shimbinary

// Program is the shim's, nil where it was not built in.
var Program []byte

const sum = ""
