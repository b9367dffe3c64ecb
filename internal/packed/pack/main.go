// Command pack compresses a program for another to hold: pack PROGRAM PACKED.
package main

import (
	"fmt"
	"os"
	"os/exec"

	"dhow/internal/packed"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: pack PROGRAM PACKED")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// pack leaves a file as it is that is younger than what it is made from.
func pack(from, to string) error {
	if upToDate(from, to) {
		return nil
	}
	program, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	data, err := packed.Pack(program, compressor())
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// compressor is zstd(1) where it is installed.
func compressor() packed.Compress {
	if _, err := exec.LookPath("zstd"); err == nil {
		return packed.Tool
	}
	fmt.Fprintln(os.Stderr, "pack: without zstd(1) the result is a tenth larger")
	return packed.Library
}

func upToDate(from, to string) bool {
	source, err1 := os.Stat(from)
	made, err2 := os.Stat(to)
	return err1 == nil && err2 == nil && made.ModTime().After(source.ModTime())
}
