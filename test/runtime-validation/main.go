// Command runtime-validation judges an OCI runtime by the programs of github.com/opencontainers/runtime-tools, which print
// TAP, and ends with "N passed, N failed, N skipped". It needs root, and changes nothing that it does not remove.
package main

import (
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
	beside := flag.String("beside", "", "other runtimes, by commas, that the programs that do not pass are run with as well")
	only := flag.String("run", "", "only programs whose name matches")
	verbose := flag.Bool("v", false, "print what fails and why")
	timeout := flag.Duration("timeout", time.Minute, "time that one program has")
	flag.Parse()
	v := &validation{runtimes: []string{*runtime}, verbose: *verbose, timeout: *timeout}
	if *beside != "" {
		v.runtimes = append(v.runtimes, strings.Split(*beside, ",")...)
	}
	failed, err := v.all(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

// validation runs the programs with one runtime, and those that do not pass with the others beside it.
type validation struct {
	dir      string // of what is built
	runtimes []string
	verbose  bool
	timeout  time.Duration
}

func (v *validation) all(only string) (failed int, err error) {
	for i, name := range v.runtimes {
		if !strings.Contains(name, "/") {
			name, err = exec.LookPath(name)
		}
		if err == nil {
			v.runtimes[i], err = filepath.Abs(name)
		}
		if err != nil {
			return 0, err
		}
	}
	wanted, err := regexp.Compile(only)
	if err != nil {
		return 0, fmt.Errorf("-run: %w", err)
	}
	if v.dir, err = os.MkdirTemp("", "runtime-validation-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(v.dir)
	programs, err := build(v.dir)
	if err != nil {
		return 0, err
	}
	var count judge.Totals
	for _, name := range programs {
		if wanted.MatchString(name) {
			count.Add(v.one(name))
		}
	}
	fmt.Println(count)
	return count.Failed, nil
}

// one judges by one program and prints what it says.
func (v *validation) one(name string) string {
	if why := cannot(name); why != "" {
		fmt.Printf("%-32s %s: %s\n", name, judge.Skipped, why)
		return judge.Skipped
	}
	r := run(v.dir, name, v.runtimes[0], v.timeout)
	fmt.Printf("%-32s %s\n", name, r)
	if r.verdict() == judge.Passed {
		return judge.Passed
	}
	if v.verbose {
		fmt.Print(r.faults())
	}
	for _, other := range v.runtimes[1:] {
		o := run(v.dir, name, other, v.timeout)
		fmt.Printf("  %-30s %s\n", filepath.Base(other), o)
		if v.verbose {
			fmt.Print(o.faults())
		}
	}
	return judge.Failed
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
