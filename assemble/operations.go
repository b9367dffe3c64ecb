package assemble

import (
	"k8s.io/apiserver/pkg/server/flagz"

	"dhow/apiserver"
	"dhow/apiserver/audit"
)

// Operations are how the API server is run.
type Operations struct {
	// Limits, apiserver.DefaultLimits() if zero.
	Limits apiserver.Limits
	// Audit, nothing if nil.
	Audit *audit.Config
	// Flags are what /flagz shows.
	Flags flagz.Reader
}

// apply adds to a server's configuration.
func (o Operations) apply(c *apiserver.Config) {
	c.Limits, c.Audit, c.Flags = o.Limits, o.Audit, o.Flags
}
