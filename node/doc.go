// Package node is the node agent (the kubelet's role): it registers the machine, runs the pods that are bound to
// it through a container runtime, probes them, and says how they are. It starts no container by itself and knows no
// network: it is given a container.Runtime and an image.Service.
package node
