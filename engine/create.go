package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"dhow/container"
	"dhow/engine/health"
)

var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// Create makes a container of an image that is there (ErrNotFound of package image otherwise), or of a directory
// (Spec.Extra.RootFS). Without a name it gets one. Nothing runs yet.
func (s *Service) Create(ctx context.Context, name string, spec Spec) (*Container, error) {
	if name != "" && !validName.MatchString(name) {
		return nil, fmt.Errorf("Invalid container name (%s), only %s are allowed", name, "[a-zA-Z0-9][a-zA-Z0-9_.-]")
	}
	unlock, err := s.lockNames()
	if err != nil {
		return nil, err
	}
	defer unlock()
	c := &Container{ID: newID(), Name: name, Created: time.Now(), Spec: spec, State: State{Status: Created}}
	if err := s.nameIt(c); err != nil {
		return nil, err
	}
	if err := s.clearHalfMade(ctx); err != nil {
		return nil, err
	}
	if err := os.Mkdir(s.dir(c.ID), 0o700); err != nil {
		return nil, err
	}
	if err := s.make(ctx, c); err != nil {
		return nil, errors.Join(err, s.unmake(ctx, c))
	}
	s.event(c, "create", nil)
	return c, nil
}

// nameIt finds a free name, or makes sure that the one asked for is. The caller holds the names' lock.
func (s *Service) nameIt(c *Container) error {
	list, err := s.all()
	if err != nil {
		return err
	}
	taken := map[string]string{}
	for _, other := range list {
		taken[other.Name] = other.ID
	}
	if c.Name != "" {
		if id, ok := taken[c.Name]; ok {
			return conflict("The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.", "/"+c.Name, id)
		}
		return nil
	}
	for try := 0; ; try++ {
		c.Name = adjectives[rand.IntN(len(adjectives))] + "_" + animals[rand.IntN(len(animals))]
		if try > 3 {
			c.Name += strconv.Itoa(rand.IntN(1000))
		}
		if taken[c.Name] == "" {
			return nil
		}
	}
}

var (
	adjectives = []string{"bold", "brave", "bright", "calm", "clever", "eager", "fair", "gentle", "happy", "keen", "kind", "lively", "lucid", "merry", "noble", "quick", "quiet", "swift", "warm", "wise"}
	animals    = []string{"badger", "beaver", "crane", "deer", "dolphin", "eagle", "falcon", "finch", "fox", "hare", "heron", "lynx", "marten", "otter", "owl", "raven", "robin", "seal", "stork", "swan", "whale", "wolf", "wren"}
)

// make fills the container's folder; unmake takes all of it away again.
func (s *Service) make(ctx context.Context, c *Container) error {
	var image ocispec.ImageConfig
	if c.Spec.Extra.RootFS == nil {
		found, err := s.config.Images.ImageStatus(ctx, c.Spec.Image)
		if err != nil {
			return err
		}
		if found == nil {
			return &NotFoundError{Kind: "image", Name: c.Spec.Image}
		}
		c.ImageID = found.Id
		snapshot, err := s.config.Images.Snapshot(ctx, c.ID, found.Id)
		if err != nil {
			return err
		}
		image = snapshot.Config
	}
	if err := c.resolve(image); err != nil {
		return err
	}
	if err := s.resolveHealth(ctx, c); err != nil {
		return err
	}
	if err := s.resolveMounts(ctx, c); err != nil {
		return err
	}
	if err := s.checkNetworks(c); err != nil {
		return err
	}
	return s.save(c)
}

func (s *Service) unmake(ctx context.Context, c *Container) error {
	return errors.Join(s.config.Images.RemoveSnapshot(ctx, c.ID), s.removeAnonymous(c), os.RemoveAll(s.dir(c.ID)))
}

// resolve puts the image's configuration and the user's together.
func (c *Container) resolve(image ocispec.ImageConfig) error {
	spec := &c.Spec
	c.Run = Resolved{
		Entrypoint: image.Entrypoint, Command: image.Cmd, WorkingDir: image.WorkingDir, User: image.User,
		StopSignal: image.StopSignal, Env: merge(image.Env, spec.Env), Labels: map[string]string{}, Health: spec.Health,
	}
	if spec.Entrypoint != nil {
		c.Run.Entrypoint, c.Run.Command = spec.Entrypoint, nil
	}
	if len(spec.Command) > 0 {
		c.Run.Command = spec.Command
	}
	if spec.WorkingDir != "" {
		c.Run.WorkingDir = spec.WorkingDir
	}
	if spec.User != "" {
		c.Run.User = spec.User
	}
	if spec.Extra.StopSignal != "" {
		c.Run.StopSignal = spec.Extra.StopSignal
	}
	maps.Copy(c.Run.Labels, image.Labels)
	maps.Copy(c.Run.Labels, spec.Labels)
	c.Run.Volumes = slices.Sorted(maps.Keys(image.Volumes))
	var err error
	if c.Run.Exposed, err = exposed(image.ExposedPorts, spec); err != nil {
		return err
	}
	if len(c.Run.Args()) == 0 {
		return errors.New("no command specified")
	}
	return nil
}

// merge sets the later entries over the earlier ones; KEY without = takes one away.
func merge(base, own []string) []string {
	env := slices.Clone(base)
	for _, entry := range own {
		key, _, has := strings.Cut(entry, "=")
		env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, key+"=") })
		if has {
			env = append(env, entry)
		}
	}
	return env
}

// exposed is what the image, --expose and --publish name, each once.
func exposed(image map[string]struct{}, spec *Spec) ([]Port, error) {
	var ports []Port
	add := func(p Port) {
		p = Port{Protocol: p.Protocol, Container: p.Container}
		if !slices.Contains(ports, p) {
			ports = append(ports, p)
		}
	}
	for _, text := range slices.Sorted(maps.Keys(image)) {
		number, protocol, ok := strings.Cut(text, "/")
		if !ok {
			protocol = "tcp"
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("image exposes port %q: not a port", text)
		}
		add(Port{Protocol: protocol, Container: uint16(n)})
	}
	for _, p := range append(slices.Clone(spec.Exposed), spec.Ports...) {
		add(p)
	}
	return ports, nil
}

// Rename gives a container another name.
func (s *Service) Rename(ctx context.Context, ref, name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)
	}
	found, err := s.Find(ref)
	if err != nil {
		return err
	}
	unlockNames, err := s.lockNames()
	if err != nil {
		return err
	}
	defer unlockNames()
	c, unlock, err := s.lockContainer(found.ID)
	if err != nil {
		return err
	}
	defer unlock()
	old := c.Name
	c.Name = name
	if name == old {
		return conflict("Renaming a container with the same name as its current name")
	}
	if err := s.nameIt(c); err != nil {
		return err
	}
	if err := s.save(c); err != nil {
		return err
	}
	s.event(c, "rename", map[string]string{"oldName": "/" + old})
	return s.refreshNames(c)
}

// Remove deletes a container: a running one if it is forced, with its anonymous volumes if those are to go.
func (s *Service) Remove(ctx context.Context, ref string, force, volumes bool) error {
	found, err := s.Get(ctx, ref)
	if err != nil {
		return err
	}
	if found.Alive() && !force {
		return conflict("cannot remove container %q: container is %s: stop the container before removing or force remove", "/"+found.Name, found.State.Status)
	}
	c, unlock, err := s.lockContainer(found.ID)
	if err != nil {
		return err
	}
	defer unlock()
	if c, err = s.killLocked(ctx, c, found.Alive()); err == nil {
		err = s.removeLocked(ctx, c, volumes)
	}
	if err := unlessGone(err); err != nil {
		return fmt.Errorf("remove container %s: %w", found.Name, err)
	}
	container.RemoveEmptyGroups(s.config.CgroupParent)
	return nil
}

// killLocked ends a container at once and takes its end down.
func (s *Service) killLocked(ctx context.Context, c *Container, alive bool) (*Container, error) {
	if c.State.Sandbox == "" {
		return c, nil
	}
	runtime, err := s.runtime()
	if err != nil {
		return nil, err
	}
	if err := runtime.StopPodSandbox(ctx, c.State.Sandbox); err != nil {
		return nil, err
	}
	if alive {
		s.event(c, "kill", map[string]string{"signal": strconv.Itoa(int(unix.SIGKILL))})
	}
	return s.settleLocked(ctx, runtime, c)
}

// removeLocked removes a container whose end has been taken down.
func (s *Service) removeLocked(ctx context.Context, c *Container, volumes bool) error {
	runtime, err := s.runtime()
	if err != nil {
		return err
	}
	if err := s.clearStrays(ctx, runtime, c); err != nil {
		return err
	}
	if err := s.config.Images.RemoveSnapshot(ctx, c.ID); err != nil {
		return err
	}
	if volumes {
		if err := s.removeAnonymous(c); err != nil {
			return err
		}
	}
	s.event(c, "destroy", nil)
	return s.forget(c.ID)
}

// resolveHealth fills in what the image says about checks, where the user is silent.
func (s *Service) resolveHealth(ctx context.Context, c *Container) error {
	if c.ImageID == "" {
		return nil
	}
	details, err := s.config.Images.Inspect(ctx, c.ImageID)
	if err != nil {
		return err
	}
	theirs := details.Spec.Config.Healthcheck
	if theirs == nil {
		return nil
	}
	c.Run.Health = c.Run.Health.Fill(health.Check{
		Test: theirs.Test, Interval: theirs.Interval, Timeout: theirs.Timeout, StartPeriod: theirs.StartPeriod,
		StartInterval: theirs.StartInterval, Retries: theirs.Retries,
	})
	return nil
}
