package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"dhow/cli/output"
	"dhow/engine"
	"dhow/engine/networks"
	"dhow/engine/volumes"
	"dhow/image"
	"dhow/image/names"
)

func newInspectCommand(env *environment, kind string) *cobra.Command {
	var format string
	var size bool
	cmd := &cobra.Command{
		Use: "inspect [flags] NAME...", Short: "Show everything about containers, images, volumes and networks", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			service, images, err := openService(env)
			if err != nil {
				return err
			}
			look := inspector{service, sync.OnceValues(func() (podContainers, error) { return openPods(env) }), images, size}
			var things []any
			var failed error
			for _, ref := range args {
				thing, err := look.inspect(cmd.Context(), kind, ref)
				if err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				things = append(things, thing)
			}
			return errors.Join(output.Describe(env.Stdout, format, things), failed)
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "'json' or a Go template")
	if kind == "" || kind == "container" {
		cmd.Flags().BoolVarP(&size, "size", "s", false, "with the sizes of containers")
	}
	if kind == "" {
		cmd.Flags().StringVar(&kind, "type", "", "only container, image, volume or network")
	}
	return cmd
}

// inspector looks for things of all kinds.
type inspector struct {
	service *engine.Service
	pods    func() (podContainers, error)
	images  *image.Store
	size    bool
}

// inspect looks for a thing of one kind, or of any.
func (i inspector) inspect(ctx context.Context, kind, ref string) (any, error) {
	switch kind {
	case "":
		return i.first(ctx, ref)
	case "container":
		c, from, err := locate(ctx, i.service, i.pods, ref)
		if err != nil {
			return nil, err
		}
		return describeContainer(ctx, from, c, i.size)
	case "image":
		return i.image(ctx, ref)
	case "network":
		return i.network(ctx, ref)
	case "volume":
		return i.volume(ctx, ref)
	}
	return nil, fmt.Errorf("%q is not a valid value for --type", kind)
}

// first is the first that has the name. Containers of pods, which have many names, come last.
func (i inspector) first(ctx context.Context, ref string) (any, error) {
	for _, look := range []func(context.Context, string) (any, error){i.own, i.imageIfNamed, i.network, i.volume, i.ofPod} {
		if thing, err := look(ctx, ref); !isMissing(err) {
			return thing, err
		}
	}
	return nil, fmt.Errorf("No such object: %s", ref)
}

// isMissing says that there is no thing of that kind.
func isMissing(err error) bool {
	var container *engine.NotFoundError
	return errors.As(err, &container) || errors.Is(err, errNoPodContainer) || errors.Is(err, errNoSuchImage) ||
		errors.Is(err, networks.ErrNotFound) || errors.Is(err, volumes.ErrNotFound)
}

func (i inspector) own(ctx context.Context, ref string) (any, error) {
	c, err := i.service.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	return describeContainer(ctx, i.service, c, i.size)
}

func (i inspector) ofPod(ctx context.Context, ref string) (any, error) {
	pods, err := i.pods()
	if err != nil {
		return nil, err
	}
	c, err := pods.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	return describeContainer(ctx, pods, c, i.size)
}

func (i inspector) image(ctx context.Context, ref string) (any, error) {
	d, err := i.images.Inspect(ctx, ref)
	if err != nil {
		return nil, noSuchImage(ref, err)
	}
	return describeImage(d), nil
}

// imageIfNamed takes what cannot be an image's name for the name of something else.
func (i inspector) imageIfNamed(ctx context.Context, ref string) (any, error) {
	if _, err := names.Normalize(ref); err != nil {
		return nil, errNoSuchImage
	}
	return i.image(ctx, ref)
}

func (i inspector) network(_ context.Context, ref string) (any, error) {
	w, err := findNetwork(i.service, ref)
	if err != nil {
		return nil, err
	}
	return describeNetwork(i.service, w)
}

func (i inspector) volume(_ context.Context, ref string) (any, error) {
	v, err := i.service.Volumes().Get(ref)
	if err != nil {
		return nil, err
	}
	return describeVolume(v), nil
}

// object is a JSON object whose fields have docker's names.
type object map[string]any

func describeVolume(v *volumes.Volume) object {
	return object{"CreatedAt": v.Created.Format(time.RFC3339), "Driver": "local", "Labels": labelsOf(v.Labels), "Mountpoint": v.Path, "Name": v.Name, "Options": v.Options, "Scope": "local"}
}

// labelsOf is an object also where there are none.
func labelsOf(labels map[string]string) map[string]string {
	if labels == nil {
		return map[string]string{}
	}
	return labels
}

// findNetwork knows none and host, too, which are no networks of ours.
func findNetwork(service *engine.Service, ref string) (*networks.Network, error) {
	if ref == "none" || ref == "host" {
		return &networks.Network{ID: strings.Repeat("0", 63) + map[string]string{"none": "1", "host": "2"}[ref], Name: ref}, nil
	}
	return service.Networks().Get(ref)
}

func describeNetwork(service *engine.Service, w *networks.Network) (any, error) {
	members, err := service.Networks().Members(w.ID)
	if err != nil {
		return nil, err
	}
	containers := object{}
	for id, p := range members {
		name := id
		if c, err := service.Find(id); err == nil {
			name = c.Name
		}
		at := object{"Name": name, "EndpointID": endpointID(id, w.ID), "MacAddress": p.MAC, "IPv4Address": fmt.Sprintf("%s/%d", p.IP, w.Subnet.Bits()), "IPv6Address": ""}
		if p.IP6.IsValid() {
			at["IPv6Address"] = fmt.Sprintf("%s/%d", p.IP6, w.Subnet6.Bits())
		}
		containers[id] = at
	}
	config := []object{}
	if w.Subnet.IsValid() {
		four := object{"Subnet": w.Subnet.String(), "Gateway": w.Gateway.String()}
		if w.Range.IsValid() {
			four["IPRange"] = w.Range.String()
		}
		config = append(config, four)
	}
	if w.Subnet6.IsValid() {
		config = append(config, object{"Subnet": w.Subnet6.String(), "Gateway": w.Gateway6.String()})
	}
	options := object{}
	if w.Link != "" {
		options["com.docker.network.bridge.name"] = w.Link
	}
	if w.MTU > 0 {
		options["com.docker.network.driver.mtu"] = fmt.Sprint(w.MTU)
	}
	return object{
		"Name": w.Name, "Id": w.ID, "Created": w.Created.Format(time.RFC3339Nano), "Scope": "local", "Driver": driverOf(w), "EnableIPv4": w.Subnet.IsValid(), "EnableIPv6": w.Subnet6.IsValid(),
		"IPAM": object{"Driver": "default", "Options": nil, "Config": config}, "Internal": w.Internal, "Attachable": false, "Ingress": false,
		"Containers": containers, "Options": options, "Labels": labelsOf(w.Labels), "ConfigOnly": false, "ConfigFrom": object{"Network": ""},
	}, nil
}

func driverOf(w *networks.Network) string {
	switch w.Name {
	case "none":
		return "null"
	case "host":
		return "host"
	}
	return "bridge"
}
