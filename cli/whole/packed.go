//go:build packed

package whole

import _ "embed"

// Program is the whole program as internal/packed packs it, nil where it was not put in.
//
//go:embed program
var Program []byte
