package cli

import (
	"context"
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

// readOutput reads --output. push says that the image goes to its registry.
func readOutput(env *environment, text string) (o build.Output, push bool, err error) {
	if !strings.Contains(text, "=") {
		if text == "-" {
			return build.Output{Type: "tar", To: env.Stdout}, false, nil
		}
		return build.Output{Type: "local", Dest: text, Umask: env.umask}, false, nil
	}
	given, err := fields(text)
	if err != nil {
		return o, false, err
	}
	o = build.Output{Type: given["type"], Dest: given["dest"], Umask: env.umask}
	switch o.Type {
	case "docker", "image":
		push = given["push"] == "true"
	case "registry":
		push, o.Type = true, "image"
	case "oci", "tar":
		if o.Dest == "" {
			return o, false, errors.New("it has no dest=FILE")
		}
	case "local":
		if o.Dest == "" {
			return o, false, errors.New("it has no dest=DIRECTORY")
		}
	default:
		return o, false, errors.New("type is none of docker, image, registry, oci, tar and local")
	}
	if o.Dest == "-" {
		o.Dest, o.To = "", env.Stdout
	}
	return o, push, nil
}

// readContext finds the context and the Dockerfile. clean removes what was fetched.
func (f *buildFlags) readContext(ctx context.Context, env *environment, builder *build.Builder, where string, o *build.Options) (clean func() error, err error) {
	clean = func() error { return nil }
	var input io.Reader
	if f.file == "-" {
		input = env.Stdin
	}
	repository, isGit := source.ParseRepository(where)
	if _, err := os.Stat(where); err == nil {
		isGit = false // github.com/… may be a directory
	}
	fetched := where == "-" || isGit || source.IsURL(where)
	switch {
	case where == "-" && f.file == "-":
		return clean, usageError{errors.New("standard input cannot be both the context and the Dockerfile")}
	case fetched:
		var dir string
		if dir, clean, err = builder.Folder(); err != nil {
			return clean, err
		}
		if isGit {
			o.Context, err = repository.CheckOut(ctx, dir)
		} else {
			err = f.readStream(ctx, env, where, dir, o)
		}
		if err != nil || o.Dockerfile != nil {
			return clean, err
		}
	default:
		if err := checkDirectory(where); err != nil {
			return clean, fmt.Errorf("build: unable to prepare context: %w", err)
		}
		o.Context = where
	}
	file, err := source.Dockerfile(o.Context, f.file, fetched, input)
	if err != nil {
		return clean, fmt.Errorf("build: %w", err)
	}
	o.Name, o.Dockerfile, o.Ignore = file.Name, file.Data, file.Ignore
	o.Context, err = filepath.Abs(o.Context)
	return clean, err
}

func checkDirectory(name string) error {
	info, err := os.Stat(name)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s: not a directory", name)
	}
	return err
}

// readStream reads a Dockerfile or an archive from standard input or a URL.
func (f *buildFlags) readStream(ctx context.Context, env *environment, where, dir string, o *build.Options) error {
	in, name := env.Stdin, "standard input"
	if where != "-" {
		response, err := source.Get(ctx, where)
		if err != nil {
			return fmt.Errorf("build: %w", err)
		}
		defer response.Body.Close()
		in, name = response.Body, where
	}
	archive, text, err := source.FromStream(in, dir)
	if err != nil {
		return fmt.Errorf("build: %s: %w", name, err)
	}
	if archive {
		o.Context = dir
		return nil
	}
	o.Name, o.Dockerfile = "Dockerfile", text
	return nil
}

// readContexts reads --build-context.
func (f *buildFlags) readContexts(p *flagParser) map[string]string {
	all := map[string]string{}
	for _, text := range f.contexts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" || value == "" {
			p.fail("build-context", text, "not of the form NAME=VALUE")
			continue
		}
		_, isGit := source.ParseRepository(value)
		switch {
		case strings.HasPrefix(value, "docker-image://"), source.IsURL(value), isGit:
		case strings.Contains(value, "://"):
			p.fail("build-context", text, "neither a directory, docker-image://REFERENCE, a repository nor a URL of an archive")
		default:
			if err := checkDirectory(value); err != nil {
				p.fail("build-context", text, err.Error())
			}
			value, _ = filepath.Abs(value) // it fails with the working directory only
		}
		all[strings.ToLower(name)] = value
	}
	return all
}
