// Package flagtext reads what docker users write after flags: mounts, ports, sizes, devices, limits. It is pure: it looks
// at no file but those that a flag names.
package flagtext
