//go:build shimbinary

package shimbinary

import _ "embed"

//go:embed shim.packed
var program []byte
