package clients

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestNPMClient runs npm/client.test.js, a program built on @kubernetes/client-node.
func TestNPMClient(t *testing.T) {
	if missing := os.Getenv(npmKey); missing != "" {
		t.Fatal("the npm client cannot be installed (apt-get install npm): " + missing)
	}
	name, kubeconfig, err := shared.namespace(t.Cleanup, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := shared.tool("npm")
	node := filepath.Join(dir, "node_modules/node/bin/node")
	cmd := exec.CommandContext(ctx, node, "--test", "--test-timeout=90000", "client.test.js")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "NAMESPACE="+name, "IMAGE="+busyboxImage)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
