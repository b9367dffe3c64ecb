// Command runtime-validation judges an OCI runtime by the programs of github.com/opencontainers/runtime-tools, which print
// TAP, and ends with "N passed, N failed, N skipped". It needs root, and changes nothing that it does not remove.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"judge"
)

const tools = "github.com/opencontainers/runtime-tools"

func main() {
	runtime := flag.String("runtime", "../../bin/dhow-oci", "the runtime to judge")
	only := flag.String("run", "", "only programs whose name matches")
	verbose := flag.Bool("v", false, "print what fails in full")
	timeout := flag.Duration("timeout", time.Minute, "time that one program has")
	flag.Parse()
	failed, err := judgeRuntime(*runtime, *only, *verbose, *timeout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

func judgeRuntime(runtime, only string, verbose bool, timeout time.Duration) (failed int, err error) {
	runtime, err = filepath.Abs(runtime)
	if err != nil {
		return 0, err
	}
	wanted, err := regexp.Compile(only)
	if err != nil {
		return 0, fmt.Errorf("-run: %w", err)
	}
	dir, err := os.MkdirTemp("", "runtime-validation-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	programs, err := build(dir)
	if err != nil {
		return 0, err
	}
	var count judge.Totals
	for _, name := range programs {
		if !wanted.MatchString(name) {
			continue
		}
		r := run(dir, name, runtime, timeout)
		fmt.Printf("%-45s %s\n", name, r)
		if verbose && r.verdict() == judge.Failed {
			fmt.Print(r.output)
		}
		count.Add(r.verdict())
	}
	fmt.Println(count)
	return count.Failed, nil
}

// build makes the programs, and what they find beside them: the tester that runs inside, and a root.
func build(dir string) ([]string, error) {
	bin := filepath.Join(dir, "validation")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"build", "-o", bin + "/", tools + "/validation/..."}, {"build", "-o", dir + "/runtimetest", tools + "/cmd/runtimetest"},
	} {
		cmd := exec.Command("go", args...)
		cmd.Env, cmd.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
		}
	}
	source, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", tools).Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", tools, err)
	}
	roots, err := filepath.Glob(strings.TrimSpace(string(source)) + "/rootfs-*.tar.gz")
	if err != nil {
		return nil, err
	}
	for _, root := range roots {
		if err := copyFile(root, filepath.Join(dir, filepath.Base(root))); err != nil {
			return nil, err
		}
	}
	entries, err := os.ReadDir(bin)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	return err
}

// result is what a program has printed.
type result struct {
	output            string
	ok, notOK, passed int // passed over: "ok … # SKIP"
	err               error
}

func (r result) verdict() string {
	switch {
	case r.notOK > 0 || r.err != nil:
		return judge.Failed
	case r.ok == 0:
		return judge.Skipped
	default:
		return judge.Passed
	}
}

func (r result) String() string {
	text := fmt.Sprintf("%-8s %d ok, %d not ok, %d skipped", r.verdict(), r.ok, r.notOK, r.passed)
	if r.err != nil {
		text += fmt.Sprintf(" (%v)", r.err)
	}
	return text
}

func run(dir, name, runtime string, timeout time.Duration) result {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "validation", name))
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), "RUNTIME="+runtime), &out, &out
	cmd.WaitDelay = 5 * time.Second
	r := result{err: cmd.Run()}
	r.output = out.String()
	for line := range strings.Lines(r.output) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "not ok") && !strings.Contains(line, "# TODO"):
			r.notOK++
		case strings.HasPrefix(line, "ok") && strings.Contains(strings.ToUpper(line), "# SKIP"):
			r.passed++
		case strings.HasPrefix(line, "ok"):
			r.ok++
		}
	}
	return r
}
