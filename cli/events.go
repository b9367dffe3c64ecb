package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dhow/cli/output"
	"dhow/engine/events"
)

func newEventsCommand(env *environment) *cobra.Command {
	var since, until, format string
	var flags []string
	cmd := &cobra.Command{
		Use: "events [flags]", Short: "Follow what happens to containers, volumes and networks", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			parsed, err := output.ParseFilters(flags, "container", "event", "image", "label", "network", "type", "volume")
			if err != nil {
				return err
			}
			from, to := time.Now(), time.Time{}
			if since != "" {
				if from, err = output.ParseTime(since, time.Now()); err != nil {
					return err
				}
			}
			if until != "" {
				if to, err = output.ParseTime(until, time.Now()); err != nil {
					return err
				}
			}
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			return service.Events(cmd.Context(), from, to, func(e events.Event) error {
				if !eventPasses(filters{parsed}, e) {
					return nil
				}
				return printEvent(env, format, e)
			})
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "also those since a time, or a duration such as 10m ago")
	cmd.Flags().StringVar(&until, "until", "", "end at a time")
	cmd.Flags().StringVar(&format, "format", "", "json, or a Go template")
	cmd.Flags().StringArrayVarP(&flags, "filter", "f", nil, "only those that pass: container, event, image, label, network, type, volume")
	return cmd
}

func eventPasses(f filters, e events.Event) bool {
	of := func(kind string) func(string) bool {
		return func(v string) bool {
			return e.Type == kind && (e.Attributes["name"] == v || strings.HasPrefix(e.ID, v))
		}
	}
	return f.any("type", func(v string) bool { return v == e.Type }) && f.any("container", of("container")) && f.any("network", of("network")) &&
		f.any("volume", of("volume")) && f.any("image", func(v string) bool { return e.Attributes["image"] == v }) &&
		f.any("event", func(v string) bool { return e.Action == v || strings.HasPrefix(e.Action, v+":") }) && f.Labels("label", e.Attributes)
}

func printEvent(env *environment, format string, e events.Event) error {
	if format != "" {
		return output.Describe(env.Stdout, format, []any{object{
			"Type": e.Type, "Action": e.Action, "Actor": object{"ID": e.ID, "Attributes": e.Attributes}, "scope": "local", "status": e.Action, "id": e.ID,
			"from": e.Attributes["image"], "time": e.Time.Unix(), "timeNano": e.Time.UnixNano(), "Time": e.Time.Unix(), "TimeNano": e.Time.UnixNano(),
			"Status": e.Action, "ID": e.ID, "From": e.Attributes["image"], "Scope": "local",
		}})
	}
	var attributes []string
	for _, key := range slices.Sorted(maps.Keys(e.Attributes)) {
		attributes = append(attributes, key+"="+e.Attributes[key])
	}
	fmt.Fprintf(env.Stdout, "%s %s %s %s (%s)\n", e.Time.Format("2006-01-02T15:04:05.000000000Z07:00"), e.Type, e.Action, e.ID, strings.Join(attributes, ", "))
	return nil
}
