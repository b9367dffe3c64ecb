// Package judge is what the runs of other people's test suites have in common: how they build programs, get Debian's
// packages, start a dhow in namespaces of its own, and report. It is a module of its own, without dependencies, for the
// modules of the suites.
package judge
