package cli

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dhow/assemble"
	"dhow/cli/output"
	"dhow/image"
	"dhow/image/names"
)

func openImages(env *environment) (*image.Store, error) {
	config, err := nodeConfig(env)
	if err != nil {
		return nil, err
	}
	return assemble.Images(config)
}

// noSuchImage says it as docker does; other errors pass.
func noSuchImage(ref string, err error) error {
	if !isNotFound(err) {
		return err
	}
	if full, nameErr := names.Normalize(ref); nameErr == nil && !strings.HasPrefix(ref, "sha256:") {
		ref = names.Familiar(full)
	}
	return fmt.Errorf("%w: %s", errNoSuchImage, ref)
}

type listOptions struct {
	all, digests, noTrunc, quiet bool
	format                       string
	filters                      []string
}

func newImagesCommand(env *environment) *cobra.Command {
	var o listOptions
	cmd := &cobra.Command{
		Use:   "images [OPTIONS] [REPOSITORY[:TAG]]",
		Short: "List the images on this node",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := openImages(env)
			if err != nil {
				return err
			}
			return listImages(cmd, env, store, o, args)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.all, "all", "a", false, "also images without names of which others were made")
	flags.BoolVar(&o.digests, "digests", false, "show digests")
	flags.StringArrayVarP(&o.filters, "filter", "f", nil, "only images that match: before, dangling, label, reference, since, until")
	flags.StringVar(&o.format, "format", "", "'table', 'table TEMPLATE', 'json' or a Go template")
	flags.BoolVar(&o.noTrunc, "no-trunc", false, "whole ids")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "only ids")
	return cmd
}

func listImages(cmd *cobra.Command, env *environment, store *image.Store, o listOptions, args []string) error {
	now := time.Now()
	all, err := store.List(cmd.Context())
	if err != nil {
		return err
	}
	wanted, err := imageFilter(o.filters, all, now)
	if err != nil {
		return err
	}
	var rows []output.Row
	for _, d := range all {
		if !wanted(d) {
			continue
		}
		for _, row := range imageRows(d, o, now) {
			if len(args) == 0 || matchesRepository(row, args[0]) {
				rows = append(rows, row)
			}
		}
	}
	if o.quiet && o.format == "" {
		return printIDs(env, rows)
	}
	standard := "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
	if o.digests {
		standard = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
	}
	return output.List(env.Stdout, o.format, standard, output.Row{
		"Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID", "CreatedSince": "CREATED",
		"CreatedAt": "CREATED AT", "Size": "SIZE", "VirtualSize": "SIZE", "UniqueSize": "UNIQUE SIZE",
		"SharedSize": "SHARED SIZE", "Containers": "CONTAINERS",
	}, rows)
}

func printIDs(env *environment, rows []output.Row) error {
	told := map[string]bool{}
	for _, row := range rows {
		if !told[row["ID"]] {
			fmt.Fprintln(env.Stdout, row["ID"])
		}
		told[row["ID"]] = true
	}
	return nil
}

// imageRows are an image's lines: one for each name, or one for none.
func imageRows(d *image.Details, o listOptions, now time.Time) []output.Row {
	id := d.ID
	if !o.noTrunc {
		id = short(strings.TrimPrefix(id, "sha256:"))
	}
	var created time.Time
	if d.Spec.Created != nil {
		created = *d.Spec.Created
	}
	row := func(repository, tag, digest string) output.Row {
		return output.Row{
			"Repository": repository, "Tag": tag, "Digest": digest, "ID": id, "Size": output.Size(d.Size), "VirtualSize": output.Size(d.Size),
			"CreatedSince": output.Ago(created, now), "CreatedAt": created.Local().Format("2006-01-02 15:04:05 -0700 MST"),
			"UniqueSize": "N/A", "SharedSize": "N/A", "Containers": "N/A",
		}
	}
	var rows []output.Row
	named := map[string]bool{}
	for _, name := range d.Names {
		repository, tag, _ := names.Cut(name)
		named[repository] = true
		rows = append(rows, row(names.Familiar(repository), tag, digestIn(d, repository)))
	}
	for _, digest := range d.Digests {
		if repository, _, sum := names.Cut(digest); !named[repository] {
			rows = append(rows, row(names.Familiar(repository), "<none>", sum))
		}
	}
	if len(rows) == 0 {
		rows = append(rows, row("<none>", "<none>", "<none>"))
	}
	return rows
}

func digestIn(d *image.Details, repository string) string {
	for _, digest := range d.Digests {
		if of, _, sum := names.Cut(digest); of == repository {
			return sum
		}
	}
	return "<none>"
}

// matchesRepository tells whether a line is of the repository, or of the repository and tag, that was asked for.
func matchesRepository(row output.Row, pattern string) bool {
	repository, tag, tagged := cutTag(pattern)
	if short, ok := strings.CutPrefix(repository, names.Hub+"/"); ok {
		repository = strings.TrimPrefix(short, "library/")
	}
	ok, err := path.Match(repository, row["Repository"])
	if err != nil || !ok {
		return false
	}
	if !tagged {
		return true
	}
	ok, err = path.Match(tag, row["Tag"])
	return err == nil && ok
}

func cutTag(ref string) (repository, tag string, ok bool) {
	at := strings.LastIndex(ref, ":")
	if at < 0 || strings.Contains(ref[at:], "/") {
		return ref, "", false
	}
	return ref[:at], ref[at+1:], true
}

// imageFilter is what --filter of images wants.
func imageFilter(flags []string, all []*image.Details, now time.Time) (func(*image.Details) bool, error) {
	f, err := output.ParseFilters(flags, "before", "dangling", "label", "reference", "since", "until")
	if err != nil {
		return nil, err
	}
	dangling, only, err := f.Bool("dangling")
	if err != nil {
		return nil, err
	}
	until, err := f.Time("until", now)
	if err != nil {
		return nil, err
	}
	before, err := createdOf(f["before"], all)
	if err != nil {
		return nil, err
	}
	since, err := createdOf(f["since"], all)
	if err != nil {
		return nil, err
	}
	return func(d *image.Details) bool {
		at := d.Spec.Created
		switch {
		case only && d.Dangling() != dangling,
			!f.Labels("label", d.Spec.Config.Labels),
			!until.IsZero() && (at == nil || at.After(until)),
			!before.IsZero() && (at == nil || !at.Before(before)),
			!since.IsZero() && (at == nil || !at.After(since)):
			return false
		}
		return len(f["reference"]) == 0 || slices.ContainsFunc(f["reference"], func(pattern string) bool { return isCalled(d, pattern) })
	}, nil
}

func isCalled(d *image.Details, pattern string) bool {
	return slices.ContainsFunc(d.Names, func(name string) bool {
		repository, tag, _ := names.Cut(name)
		return matchesRepository(output.Row{"Repository": names.Familiar(repository), "Tag": tag}, pattern)
	})
}

// createdOf is the time of the image that a filter names.
func createdOf(refs []string, all []*image.Details) (time.Time, error) {
	for _, ref := range refs {
		full, _ := names.Normalize(ref) // an id is no name, and found all the same
		for _, d := range all {
			id := strings.TrimPrefix(ref, "sha256:")
			if d.Spec.Created != nil && (slices.Contains(d.Names, full) || len(id) >= 3 && strings.HasPrefix(strings.TrimPrefix(d.ID, "sha256:"), id)) {
				return *d.Spec.Created, nil
			}
		}
		return time.Time{}, fmt.Errorf("%w: %s", errNoSuchImage, ref)
	}
	return time.Time{}, nil
}
