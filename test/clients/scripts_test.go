package clients

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestKubectl runs testdata/kubectl/*.txtar: what a user of kubectl types and what comes back.
func TestKubectl(t *testing.T) { runScripts(t, "testdata/kubectl") }

// TestHelm runs testdata/helm/*.txtar; each brings its chart along.
func TestHelm(t *testing.T) { runScripts(t, "testdata/helm") }

// runScripts runs each script in a namespace of its own. Beside testscript's own commands, of which 'exec kubectl …'
// and 'exec helm …' are the ones to use, a script has '[!] eventually TEXT COMMAND…'.
func runScripts(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			name, kubeconfig, err := shared.namespace(env.Defer, env.WorkDir)
			if err != nil {
				return err
			}
			env.Setenv("NAMESPACE", name)
			env.Setenv("KUBECONFIG", kubeconfig)
			env.Setenv("IMAGE", busyboxImage)
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("TERM", "dumb")
			env.Setenv("PATH", shared.tools+string(os.PathListSeparator)+os.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"eventually": eventually},
	})
}

// eventually runs a command until its output holds a text, or with "!" in front no longer does.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] eventually TEXT COMMAND…")
	}
	err := poll(fmt.Sprintf("%q in the output of %s", args[0], strings.Join(args[1:], " ")), time.Minute, func() error {
		out, err := scriptCommand(ts, args[1:]).CombinedOutput()
		if strings.Contains(string(out), args[0]) == neg {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	ts.Check(err)
}

func scriptCommand(ts *testscript.TestScript, args []string) *exec.Cmd {
	cmd := exec.Command("env", args...) // which looks for the program in its own PATH
	cmd.Dir = ts.Getenv("WORK")
	for _, key := range []string{"KUBECONFIG", "HOME", "PATH"} {
		cmd.Env = append(cmd.Env, key+"="+ts.Getenv(key))
	}
	return cmd
}
