// Package oci tests the OCI runtime's command line under cgroup v2 alone, and so runs in a virtual machine only: make
// vm-test. The program is dhow-oci in the PATH.
package oci
