package cli

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/apiserver/encryption"
	"dhow/apiserver/token"
	"dhow/identity"
	"dhow/kinds/configmap"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/rbac"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

// serve runs an API server whose keys and kubeconfig lie below root, as `dhow server --root` has them.
func serve(t *testing.T, root string) *apiservertest.Cluster {
	t.Helper()
	data := filepath.Join(root, "var/lib/dhow")
	id, err := identity.Open(filepath.Join(data, "pki"))
	check(t, err)
	encrypted, err := encryption.Open(t.Context(), encryption.Config{Dir: filepath.Join(data, "encryption")})
	check(t, err)
	var c *apiservertest.Cluster
	accounts := serviceaccount.Config{
		Issuer: token.NewMaker(id.ServiceAccountKeys, token.Options{}), Client: func() kubernetes.Interface { return c.Client },
	}
	var roles *rbac.Authorizer
	c = apiservertest.Start(t, append(rbac.Kinds(nil), namespace.Kind(), configmap.Kind(), secret.Kind(), node.Kind(node.Config{}),
		pod.Kind(pod.Config{}), serviceaccount.Kind(accounts)), func(config *apiserver.Config) {
		config.Identity.ServiceAccountKeys, config.Encryption = id.ServiceAccountKeys, encrypted
		config.Authorizer = func(f informers.SharedInformerFactory) (_ authorizer.Authorizer, err error) {
			roles, err = rbac.NewAuthorizer(f)
			return roles, err
		}
	})
	check(t, rbac.Reconcile(t.Context(), c.Client, nil))
	check(t, roles.Await(t.Context(), rbac.Defaults()))
	check(t, c.Identity.WriteKubeconfig(filepath.Join(root, "etc/dhow/kubeconfig"), c.Config.Host, "system:admin", "system:masters"))
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestScriptsOnAServer runs testdata/cluster/*.txtar, each on a server of its own, whose root, URL and authority are
// $ROOT, $SERVER and $CA.
func TestScriptsOnAServer(t *testing.T) {
	files, err := filepath.Glob("testdata/cluster/*.txtar")
	check(t, err)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			root := t.TempDir()
			c := serve(t, root)
			testscript.Run(t, testscript.Params{
				Files: []string{file},
				Setup: func(env *testscript.Env) error {
					env.Setenv("ROOT", root)
					env.Setenv("SERVER", c.Config.Host)
					env.Setenv("CA", c.Identity.CAFile())
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){"capture": capture, "eventually": eventually},
			})
		})
	}
}

// capture NAME REGEXP sets a variable to the regexp's group in what the last command has printed.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("no %s in %q", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], found[1])
}

// eventually COUNT TEXT COMMAND… runs a command until it prints a text so many times.
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	deadline, tick := time.After(time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	count, err := strconv.Atoi(args[0])
	ts.Check(err)
	for {
		ts.Check(ts.Exec(args[2], args[3:]...))
		if strings.Count(ts.ReadFile("stdout"), args[1]) == count {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("still not so after a minute: %s", ts.ReadFile("stdout"))
		}
	}
}
