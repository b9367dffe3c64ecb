// Package shim is the process that holds a pod: it keeps the pod's namespaces, starts and reaps its containers,
// owns their streams and logs, and remembers how they ended. It outlives the daemon, which talks to it over a
// unix socket. It knows nothing of images, networks or Kubernetes.
//
// The same binary plays three parts by its first argument: the shim; the init of a container, which builds the
// root and becomes the container's command; and the entrance by which a further command joins a container.
package shim
