package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dhow/cli/output"
	"dhow/image"
)

func newHistoryCommand(env *environment) *cobra.Command {
	var quiet, noTrunc, human bool
	var format string
	cmd := &cobra.Command{
		Use:   "history [OPTIONS] IMAGE",
		Short: "Show the steps by which an image came about",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := openImages(env)
			if err != nil {
				return err
			}
			steps, err := store.History(cmd.Context(), args[0])
			if err != nil {
				return noSuchImage(args[0], err)
			}
			if quiet && format == "" {
				format = "{{.ID}}"
			}
			standard := "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
			if !human {
				standard = strings.Replace(standard, "CreatedSince", "CreatedAt", 1)
			}
			return output.List(env.Stdout, format, standard, output.Row{
				"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT",
			}, historyRows(steps, noTrunc, human))
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "'table', 'table TEMPLATE', 'json' or a Go template")
	cmd.Flags().BoolVarP(&human, "human", "H", true, "sizes and times in readable units")
	cmd.Flags().BoolVar(&noTrunc, "no-trunc", false, "whole ids and commands")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "only ids")
	return cmd
}

// commandMost is how much of a command docker shows.
const commandMost = 45

func historyRows(steps []image.HistoryEntry, noTrunc, human bool) []output.Row {
	var rows []output.Row
	for _, step := range steps {
		at := time.Unix(step.Created, 0)
		row := output.Row{
			"ID": step.ID, "CreatedSince": output.Ago(at, time.Now()), "CreatedAt": at.Local().Format(time.RFC3339),
			"CreatedBy": strings.ReplaceAll(step.CreatedBy, "\t", " "), "Size": output.Size(step.Size), "Comment": step.Comment,
		}
		if !human {
			row["Size"] = strconv.FormatUint(step.Size, 10)
		}
		if !noTrunc {
			if id, ok := strings.CutPrefix(step.ID, "sha256:"); ok {
				row["ID"] = short(id)
			}
			if text := []rune(row["CreatedBy"]); len(text) > commandMost {
				row["CreatedBy"] = fmt.Sprintf("%s…", string(text[:commandMost-1]))
			}
		}
		rows = append(rows, row)
	}
	return rows
}
