package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"dhow/image/build"
	"dhow/image/names"
	"dhow/image/platform"
)

// removeOld takes away what an earlier build has told, so that one that fails tells nothing.
func (f *buildFlags) removeOld() error {
	for _, file := range []string{f.iidfile, f.metadata} {
		if file == "" {
			continue
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// report tells what was built, where the user wants to be told.
func (f *buildFlags) report(env *environment, result build.Result) error {
	if f.iidfile != "" && result.ID != "" {
		if err := os.WriteFile(f.iidfile, []byte(result.ID), env.fileMode()); err != nil {
			return err
		}
	}
	if f.metadata != "" {
		if err := f.writeMetadata(env, result); err != nil {
			return err
		}
	}
	if f.quiet && result.ID != "" {
		fmt.Fprintln(env.Stdout, result.ID)
	}
	return nil
}

// writeMetadata uses buildx' names.
func (f *buildFlags) writeMetadata(env *environment, result build.Result) error {
	told := map[string]string{}
	if result.ID != "" {
		told["containerimage.digest"], told["containerimage.config.digest"] = result.ID, result.ID
	}
	var all []string
	for _, tag := range f.tags {
		full, err := names.Normalize(tag)
		if err != nil {
			return err
		}
		all = append(all, full)
	}
	if len(all) > 0 {
		told["image.name"] = strings.Join(all, ",")
	}
	data, err := json.MarshalIndent(told, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(f.metadata, append(data, '\n'), env.fileMode())
}

// caches reads --cache-from and --cache-to.
func (f *buildFlags) caches(p *flagParser, o *build.Options) {
	for _, text := range f.cacheFrom {
		ref := text
		if strings.Contains(text, "=") {
			given, err := fields(text)
			if err != nil || given["type"] != "registry" || given["ref"] == "" {
				p.fail("cache-from", text, "not supported: give an image, or type=registry,ref=IMAGE")
				continue
			}
			ref = given["ref"]
		}
		if _, err := names.Normalize(ref); err != nil {
			p.fail("cache-from", text, err.Error())
		}
		o.CacheFrom = append(o.CacheFrom, ref)
	}
	for _, text := range f.cacheTo {
		if text != "inline" && text != "type=inline" {
			p.fail("cache-to", text, "not supported: give type=inline, which puts the cache into the image")
		}
		o.InlineCache = true
	}
}

// agents reads --ssh: the sockets of agents by their ids.
func (f *buildFlags) agents(p *flagParser) map[string]string {
	all := map[string]string{}
	for _, text := range f.ssh {
		id, socket, given := strings.Cut(text, "=")
		if !given {
			if socket = os.Getenv("SSH_AUTH_SOCK"); socket == "" {
				p.fail("ssh", text, "no agent runs (SSH_AUTH_SOCK is not set): start ssh-agent, or give ID=SOCKET")
				continue
			}
		}
		info, err := os.Stat(socket)
		if err == nil && info.Mode().Type() != fs.ModeSocket {
			err = errors.New("it is no socket of an agent: keys are not read, add them to ssh-agent")
		}
		if err != nil {
			p.fail("ssh", text, err.Error())
		}
		all[id] = socket
	}
	return all
}

// onePlatform reads --platform.
func (f *buildFlags) onePlatform(p *flagParser) string {
	if f.platform == "" {
		return ""
	}
	if strings.Contains(f.platform, ",") {
		p.fail("platform", f.platform, "one platform is built at a time: build each, and push them under names of their own")
		return ""
	}
	one, err := platform.Parse(f.platform)
	if err != nil {
		p.fail("platform", f.platform, err.Error())
		return ""
	}
	if one.OS != "linux" {
		p.fail("platform", f.platform, "images are built for linux only")
	}
	return strings.TrimRight(one.OS+"/"+one.Architecture+"/"+one.Variant, "/")
}
