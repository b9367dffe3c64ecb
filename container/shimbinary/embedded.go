//go:build shimbinary

package shimbinary

import _ "embed"

// Program is the shim's, nil where it was not built in.
//
//go:embed shim
var Program []byte

//go:embed shim.sum
var sum string
