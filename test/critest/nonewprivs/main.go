// Command nonewprivs tells its effective user id. Its file is root's and set-user-ID: with no_new_privs it stays another's.
package main

import (
	"fmt"
	"os"
)

func main() { fmt.Printf("Effective uid: %d\n", os.Geteuid()) }
