package apiserver_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig/controller"

	"dhow/apiserver/apiservertest"
	"dhow/internal/atomicfile"
)

// boxed is an EncryptionConfiguration with these keys, by letters; the first encrypts.
func boxed(letters string) string {
	var keys strings.Builder
	for _, letter := range letters {
		fmt.Fprintf(&keys, "      - {name: %c, secret: %sA=}\n", letter, strings.Repeat(string(letter), 42))
	}
	return `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox:
      keys:
` + keys.String()
}

func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := atomicfile.Write(path, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestTheEncryptionFileIsFollowedAndABadOneChangesNothing(t *testing.T) {
	every := controller.EncryptionConfigFileChangePollDuration
	controller.EncryptionConfigFileChangePollDuration = 50 * time.Millisecond
	t.Cleanup(func() { controller.EncryptionConfigFileChangePollDuration = every })
	dir, file := t.TempDir(), written(t, "encryption.yaml", boxed("a"))
	onDisk(t, dir, file, func(t *testing.T, c *apiservertest.Cluster) {
		createSecrets(t, c, 0, 3)
		replace(t, file, boxed("ba"))
		next := 3
		apiservertest.Eventually(t, func() bool { // what is written is encrypted by b
			createSecrets(t, c, next, next+1)
			next++
			return holds(t, filepath.Join(dir, "etcd"), "k8s:enc:secretbox:v1:b:")
		})
		for _, bad := range []string{"not: [yaml", boxed("ba") + "      - {name: c, secret: short}\n", ""} {
			replace(t, file, bad)
			createSecrets(t, c, next, next+1)
			next++
		}
		checkSecrets(t, c, next)
		replace(t, file, boxed("cba")) // and it is still followed
		apiservertest.Eventually(t, func() bool {
			createSecrets(t, c, next, next+1)
			next++
			return holds(t, filepath.Join(dir, "etcd"), "k8s:enc:secretbox:v1:c:")
		})
		checkSecrets(t, c, next)
	})
}

func TestAPluginThatDoesNotAnswerIsToldAndTheRestGoesOn(t *testing.T) {
	t.Parallel() // the library asks plug-ins twice a minute
	dir, err := os.MkdirTemp("", "kms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	silent := &plugin{}
	file := written(t, "encryption.yaml", pluginConfig(silent.serve(t, dir)))
	onDisk(t, dir, file, func(t *testing.T, c *apiservertest.Cluster) {
		createSecrets(t, c, 0, 2)
		silent.broken.Store(true)
		deadline, tick := time.After(5*time.Minute), time.NewTicker(500*time.Millisecond)
		defer tick.Stop()
		for body := ""; !strings.Contains(body, "[-]kms-providers failed"); _, body = askAs(t, c, "", "/readyz?verbose") {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("readyz: %s", body)
			}
		}
		checkSecrets(t, c, 2) // their key is still known
		if _, err := c.Client.CoreV1().Namespaces().List(c.Context, metav1.ListOptions{}); err != nil {
			t.Errorf("the rest: %v", err)
		}
		if status, body := askAs(t, c, "", "/livez"); status != 200 {
			t.Errorf("livez: %d %s", status, body)
		}
	})
}
