package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"dhow/image/build"
	"dhow/image/build/source"
)

// buildBytes reads a size such as 512m; units are powers of 1024.
func (p *flagParser) buildBytes(flag, text string) int64 {
	if text == "" {
		return 0
	}
	digits := strings.TrimSuffix(strings.ToLower(text), "b")
	unit := int64(1)
	if digits != "" {
		if at := strings.IndexByte("kmgt", digits[len(digits)-1]); at >= 0 {
			unit, digits = 1<<(10*(at+1)), digits[:len(digits)-1]
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || n < 0 {
		p.fail(flag, text, "not a size such as 512m")
	}
	return int64(n * float64(unit))
}

// fields reads "a=b,c=d".
func fields(text string) (map[string]string, error) {
	all := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not of the form KEY=VALUE", part)
		}
		all[strings.ToLower(key)] = value
	}
	return all, nil
}

func readSecret(text string) (id string, data []byte, err error) {
	given, err := fields(text)
	if err != nil {
		return "", nil, err
	}
	id = given["id"]
	file, variable := given["src"], given["env"]
	if file == "" {
		file = given["source"]
	}
	if id == "" {
		return "", nil, errors.New("it has no id=")
	}
	if variable == "" && file == "" || given["type"] == "env" && variable == "" {
		if value, ok := os.LookupEnv(id); ok {
			return id, []byte(value), nil
		}
		return "", nil, errors.New("it has neither src=FILE nor env=VARIABLE")
	}
	if variable != "" {
		value, ok := os.LookupEnv(variable)
		if !ok {
			return "", nil, fmt.Errorf("the environment has no %s", variable)
		}
		return id, []byte(value), nil
	}
	data, err = os.ReadFile(file)
	return id, data, err
}

func readOutput(env *environment, text string) (build.Output, error) {
	if !strings.Contains(text, "=") {
		if text == "-" {
			return build.Output{Type: "tar", To: env.Stdout}, nil
		}
		return build.Output{Type: "local", Dest: text}, nil
	}
	given, err := fields(text)
	if err != nil {
		return build.Output{}, err
	}
	o := build.Output{Type: given["type"], Dest: given["dest"]}
	switch o.Type {
	case "docker", "image":
	case "oci", "tar":
		if o.Dest == "" {
			return o, errors.New("it has no dest=FILE")
		}
	case "local":
		if o.Dest == "" {
			return o, errors.New("it has no dest=DIRECTORY")
		}
	default:
		return o, errors.New("type is none of docker, oci, tar and local")
	}
	if o.Dest == "-" {
		o.Dest, o.To = "", env.Stdout
	}
	return o, nil
}

// readContext finds the context and the Dockerfile. clean removes what was unpacked of standard input.
func (f *buildFlags) readContext(env *environment, context string, o *build.Options) (clean func(), err error) {
	clean = func() {}
	var input io.Reader
	switch {
	case context == "-" && f.file == "-":
		return clean, usageError{errors.New("standard input cannot be both the context and the Dockerfile")}
	case source.IsRemote(context):
		return clean, usageError{fmt.Errorf("context %q: repositories and URLs are not supported: clone or download it, and give the directory", context)}
	case context == "-":
		dir, text, err := source.FromStream(env.Stdin)
		if dir != "" {
			clean = func() { os.RemoveAll(dir) }
		}
		if err != nil {
			return clean, fmt.Errorf("build: standard input: %w", err)
		}
		o.Context, o.Name, o.Dockerfile = dir, "Dockerfile", text
		if text != nil {
			return clean, nil
		}
	default:
		info, err := os.Stat(context)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s: not a directory", context)
		}
		if err != nil {
			return clean, fmt.Errorf("build: unable to prepare context: %w", err)
		}
		o.Context = context
	}
	if f.file == "-" {
		input = env.Stdin
	}
	o.Name, o.Dockerfile, err = source.Dockerfile(o.Context, f.file, context == "-", input)
	if err != nil {
		return clean, fmt.Errorf("build: %w", err)
	}
	o.Context, err = filepath.Abs(o.Context)
	return clean, err
}
