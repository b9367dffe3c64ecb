package spec

import (
	"bytes"
	"fmt"
)

// objectsMost bounds the objects of an index, manifest or configuration: "{}," in a list takes a hundred times its size once
// it is read.
const objectsMost = 20_000

// CheckDocument refuses what would take more memory than any document of an image.
func CheckDocument(raw []byte) error {
	if n := bytes.Count(raw, []byte{'{'}); n > objectsMost {
		return fmt.Errorf("it has %d objects: no index, manifest or configuration of an image has more than %d", n, objectsMost)
	}
	return nil
}
