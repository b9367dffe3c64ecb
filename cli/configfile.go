//go:build !nocluster

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// readConfigFile sets the flags that the user did not type from a YAML file of flag names and values; lists
// give a flag several times. path empty means fallback, which may be absent.
func readConfigFile(flags *pflag.FlagSet, path, fallback string) error {
	name := path
	if name == "" {
		name = fallback
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && path == "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(data, &values); err != nil {
		return fmt.Errorf("configuration %s: %w", name, err)
	}
	typed := map[string]bool{}
	flags.Visit(func(f *pflag.Flag) { typed[f.Name] = true })
	for key, value := range values {
		if flags.Lookup(key) == nil || key == "config" {
			return fmt.Errorf("configuration %s: unknown field %q (see 'dhow server --help' for the flags)", name, key)
		}
		if typed[key] {
			continue
		}
		if err := setFlag(flags, key, value); err != nil {
			return fmt.Errorf("configuration %s: field %q: %w", name, key, err)
		}
	}
	return nil
}

func setFlag(flags *pflag.FlagSet, key string, value any) error {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	for _, v := range list {
		if err := flags.Set(key, fmt.Sprint(v)); err != nil {
			return err
		}
	}
	return nil
}
