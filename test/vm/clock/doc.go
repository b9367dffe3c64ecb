// Package clock tests what happens when the machine's clock jumps. It sets that clock, and so runs in a virtual machine
// only: make vm-clock.
package clock
