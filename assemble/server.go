package assemble

import "context"

// RunServer runs everything until ctx ends.
func RunServer(ctx context.Context, c ServerConfig) error { return nil }
