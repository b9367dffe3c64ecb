//go:build !shimbinary

package shimbinary

var program []byte
