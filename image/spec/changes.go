package spec

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ParseChanges reads instructions as docker's commit and import take them by --change: CMD, ENTRYPOINT, ENV, EXPOSE,
// LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR, each a line of a Dockerfile.
func ParseChanges(lines []string) (func(*RunConfig) error, error) {
	var steps []func(*RunConfig)
	for _, line := range lines {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		step, err := parseChange(strings.ToUpper(word), strings.TrimSpace(rest))
		if err != nil {
			return nil, fmt.Errorf("--change %q: %w", line, err)
		}
		steps = append(steps, step)
	}
	return func(c *RunConfig) error {
		for _, step := range steps {
			step(c)
		}
		return nil
	}, nil
}

func parseChange(word, rest string) (func(*RunConfig), error) {
	if rest == "" {
		return nil, fmt.Errorf("%s requires at least one argument", word)
	}
	switch word {
	case "CMD":
		return func(c *RunConfig) { c.Cmd = command(rest) }, nil
	case "ENTRYPOINT":
		return func(c *RunConfig) { c.Entrypoint = command(rest) }, nil
	case "USER":
		return func(c *RunConfig) { c.User = rest }, nil
	case "WORKDIR":
		return func(c *RunConfig) { c.WorkingDir = rest }, nil
	case "STOPSIGNAL":
		return func(c *RunConfig) { c.StopSignal = rest }, nil
	case "ONBUILD":
		return func(c *RunConfig) { c.OnBuild = append(slices.Clone(c.OnBuild), rest) }, nil
	case "ENV":
		pairs, err := pairs(rest)
		return func(c *RunConfig) { c.Env = withEnv(c.Env, pairs) }, err
	case "LABEL":
		pairs, err := pairs(rest)
		return func(c *RunConfig) {
			c.Labels = maps.Clone(c.Labels)
			if c.Labels == nil {
				c.Labels = map[string]string{}
			}
			for _, p := range pairs {
				c.Labels[p[0]] = p[1]
			}
		}, err
	case "EXPOSE":
		return func(c *RunConfig) { c.ExposedPorts = withAll(c.ExposedPorts, ports(rest)) }, nil
	case "VOLUME":
		return func(c *RunConfig) { c.Volumes = withAll(c.Volumes, list(rest)) }, nil
	default:
		return nil, fmt.Errorf("%s is not a valid change command", word)
	}
}

// command is a JSON array of words, or a text for the shell.
func command(text string) []string {
	var words []string
	if json.Unmarshal([]byte(text), &words) == nil {
		return words
	}
	return []string{"/bin/sh", "-c", text}
}

func list(text string) []string {
	var words []string
	if json.Unmarshal([]byte(text), &words) == nil {
		return words
	}
	return strings.Fields(text)
}

func ports(text string) []string {
	all := strings.Fields(text)
	for i, p := range all {
		if !strings.Contains(p, "/") {
			all[i] = p + "/tcp"
		}
	}
	return all
}

func withAll(set map[string]struct{}, more []string) map[string]struct{} {
	set = maps.Clone(set)
	if set == nil {
		set = map[string]struct{}{}
	}
	for _, name := range more {
		set[name] = struct{}{}
	}
	return set
}

// pairs reads "a=b c='d e'", and the old form "a b c".
func pairs(text string) ([][2]string, error) {
	words, err := unquote(text)
	if err != nil {
		return nil, err
	}
	if first, rest, ok := strings.Cut(text, " "); ok && !strings.Contains(first, "=") {
		return [][2]string{{first, strings.TrimSpace(rest)}}, nil
	}
	var all [][2]string
	for _, word := range words {
		key, value, ok := strings.Cut(word, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%q is not of the form name=value", word)
		}
		all = append(all, [2]string{key, value})
	}
	return all, nil
}

// unquote cuts words as a shell does: quotes and backslashes.
func unquote(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quote, escaped := false, rune(0), false
	for _, c := range text {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			inWord, escaped = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '"' || c == '\'':
			inWord, quote = true, c
		case c == ' ' || c == '\t':
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			inWord = true
			word.WriteRune(c)
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("unexpected end: a quote or backslash is open")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

func withEnv(env []string, pairs [][2]string) []string {
	env = slices.Clone(env)
	for _, p := range pairs {
		at := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, p[0]+"=") })
		if at < 0 {
			env = append(env, p[0]+"="+p[1])
			continue
		}
		env[at] = p[0] + "=" + p[1]
	}
	return env
}
