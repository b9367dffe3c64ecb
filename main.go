// Command dhow is a container engine and a Kubernetes cluster in one static binary.
package main

import (
	"os"

	"dhow/cli"
)

func main() { os.Exit(cli.Main(os.Args)) }
