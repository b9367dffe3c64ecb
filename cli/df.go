package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"dhow/cli/output"
	"dhow/engine"
	"dhow/engine/volumes"
	"dhow/image"
	"dhow/image/names"
)

func newSystemDfCommand(env *environment) *cobra.Command {
	var format string
	var verbose bool
	cmd := &cobra.Command{
		Use: "df [flags]", Short: "Show what takes room on disk", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if verbose && format != "" {
				return errors.New("--verbose and --format go together in no way")
			}
			service, images, err := openService(env)
			if err != nil {
				return err
			}
			room, err := roomOf(cmd.Context(), service, images)
			if err != nil {
				return err
			}
			if verbose {
				return room.print(env)
			}
			headers := output.Row{"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"}
			return output.List(env.Stdout, format, `{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}`, headers, room.sums())
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "table, json, or a Go template")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "each image, container and volume")
	return cmd
}

// room is what takes how much on disk.
type room struct {
	images     []*image.Details
	layers     uint64         // of all images together
	users      map[string]int // of an image, by its id
	containers []containerRoom
	volumes    []volumeRoom
}

type containerRoom struct {
	*engine.Container
	size int64
}

type volumeRoom struct {
	*volumes.Volume
	size  int64
	users int
}

func roomOf(ctx context.Context, service *engine.Service, images *image.Store) (*room, error) {
	r := &room{users: map[string]int{}}
	all, err := service.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		own, _ := service.Sizes(ctx, c)
		r.containers = append(r.containers, containerRoom{c, own})
		r.users[c.ImageID]++
	}
	if r.images, err = images.List(ctx); err != nil {
		return nil, err
	}
	if r.layers, err = images.UsedBytes(ctx); err != nil {
		return nil, err
	}
	named, err := service.Volumes().List()
	if err != nil {
		return nil, err
	}
	for _, v := range named {
		users, err := service.VolumeUsers(v.Name)
		if err != nil {
			return nil, err
		}
		r.volumes = append(r.volumes, volumeRoom{v, service.VolumeSize(v), len(users)})
	}
	return r, nil
}

// sums are the lines of docker system df.
func (r *room) sums() []output.Row {
	images, containers, volumes := sum{kind: "Images", reclaims: true}, sum{kind: "Containers"}, sum{kind: "Local Volumes", reclaims: true}
	for _, d := range r.images {
		images.add(int64(d.Size), r.users[d.ID] > 0)
	}
	images.size = int64(r.layers) // what they share counts once
	images.free = min(images.free, images.size)
	for _, c := range r.containers {
		containers.add(c.size, c.Alive())
	}
	for _, v := range r.volumes {
		volumes.add(v.size, v.users > 0)
	}
	return []output.Row{images.row(), containers.row(), volumes.row()}
}

type sum struct {
	kind          string
	total, active int
	size, free    int64
	reclaims      bool
}

func (s *sum) add(size int64, active bool) {
	s.total++
	s.size += size
	if active {
		s.active++
	} else {
		s.free += size
	}
}

func (s *sum) row() output.Row {
	free := output.Size(uint64(s.free))
	if s.size > 0 {
		free += fmt.Sprintf(" (%d%%)", 100*s.free/s.size)
	}
	return output.Row{"Type": s.kind, "TotalCount": fmt.Sprint(s.total), "Active": fmt.Sprint(s.active), "Size": output.Size(uint64(s.size)), "Reclaimable": free}
}

// print lists everything, one table after the other.
func (r *room) print(env *environment) error {
	now := time.Now()
	var images, containers, named []output.Row
	for _, d := range r.images {
		row := output.Row{"Repository": "<none>", "Tag": "<none>", "ID": short(d.ID[len("sha256:"):]), "Created": output.Ago(d.Stored, now), "Size": output.Size(d.Size), "Containers": fmt.Sprint(r.users[d.ID])}
		if len(d.Names) > 0 {
			repository, tag, _ := names.Cut(d.Names[0])
			row["Repository"], row["Tag"] = names.Familiar(repository), tag
		}
		images = append(images, row)
	}
	for _, c := range r.containers {
		containers = append(containers, output.Row{"ID": short(c.ID), "Image": c.Spec.Image, "Command": commandText(c.Container, false), "LocalVolumes": fmt.Sprint(volumeCount(c.Container)),
			"Size": output.Size(uint64(c.size)), "Created": output.Ago(c.Created, now), "Status": statusOf(c.Container, ""), "Names": c.Name})
	}
	for _, v := range r.volumes {
		named = append(named, output.Row{"Name": v.Name, "Links": fmt.Sprint(v.users), "Size": output.Size(uint64(v.size))})
	}
	for _, table := range []struct {
		title, standard string
		headers         output.Row
		rows            []output.Row
	}{
		{"Images", `{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.Created}}\t{{.Size}}\t{{.Containers}}`, output.Row{"Repository": "REPOSITORY", "Tag": "TAG", "ID": "IMAGE ID", "Created": "CREATED", "Size": "SIZE", "Containers": "CONTAINERS"}, images},
		{"Containers", `{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.Created}}\t{{.Status}}\t{{.Names}}`, output.Row{"ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "LocalVolumes": "LOCAL VOLUMES", "Size": "SIZE", "Created": "CREATED", "Status": "STATUS", "Names": "NAMES"}, containers},
		{"Local Volumes", `{{.Name}}\t{{.Links}}\t{{.Size}}`, output.Row{"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}, named},
	} {
		fmt.Fprintf(env.Stdout, "%s space usage:\n\n", table.title)
		if err := output.List(env.Stdout, "", table.standard, table.headers, table.rows); err != nil {
			return err
		}
		fmt.Fprintln(env.Stdout)
	}
	return nil
}
