// Package assemble puts the parts together with plain constructor calls. It alone knows all of them; it holds
// no behaviour of its own.
package assemble

import "log/slog"

// Local is what the containers and images of a root need to know, with or without a server.
type Local struct {
	Paths
	// CgroupParent and LinkName tell several roots on one machine apart: the parent of their cgroups, and what names of their
	// links and tables begin with.
	CgroupParent, LinkName string
	Log                    *slog.Logger
}

// Paths are the places on disk that a server uses.
type Paths struct {
	Etcd, PKI, Images, Volumes, PodLogs   string // kept for ever
	Encryption                            string // the keys of what etcd holds, kept for ever
	Containers, Network                   string // kept until a reboot
	Engine, EngineState                   string // containers without a cluster: kept for ever, kept until a reboot
	Builds                                string // builds' cache, kept for ever
	BuildRuns                             string // what builds at work have, kept until a reboot
	Manifests, Kubeconfig, RegistriesFile string // the administrator's
	CRISocket                             string // for other people's tools
	Foreign                               string // bundles of other OCI runtimes, kept until a reboot
	Lock                                  string // held while a server runs
}
