//go:build !nocluster

package assemble

import (
	"context"

	"k8s.io/apiserver/pkg/server/flagz"

	"dhow/apiserver"
	"dhow/apiserver/audit"
	"dhow/apiserver/encryption"
)

// Operations are how the API server is run.
type Operations struct {
	// Limits, apiserver.DefaultLimits() if zero.
	Limits apiserver.Limits
	// Audit, nothing if nil.
	Audit *audit.Config
	// EncryptionFile is an EncryptionConfiguration in place of the cluster's own keys, read anew on changes if
	// EncryptionReload.
	EncryptionFile   string
	EncryptionReload bool
	// Flags are what /flagz shows.
	Flags flagz.Reader
}

// apply adds to a server's configuration; keys are kept in dir.
func (o Operations) apply(ctx context.Context, c *apiserver.Config, dir string) (err error) {
	c.Limits, c.Audit, c.Flags = o.Limits, o.Audit, o.Flags
	c.Encryption, err = encryption.Open(ctx, encryption.Config{Dir: dir, File: o.EncryptionFile, Reload: o.EncryptionReload, Log: c.Log})
	return err
}
