package engine

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"dhow/internal/filelock"
)

// containerFiles are those that each container has of its own: paths in it, and names in its folder.
var containerFiles = map[string]string{"/etc/hosts": "hosts", "/etc/hostname": "hostname", "/etc/resolv.conf": "resolv.conf"}

// Files are the paths on the host of the files that a container has of its own, by their paths in it.
func (s *Service) Files(c *Container) map[string]string {
	names, err := s.namesOf(c)
	if err != nil {
		names = c // the one it shared a network with is gone
	}
	return map[string]string{
		"/etc/hostname":    filepath.Join(s.dir(c.ID), containerFiles["/etc/hostname"]),
		"/etc/hosts":       filepath.Join(s.dir(names.ID), containerFiles["/etc/hosts"]),
		"/etc/resolv.conf": filepath.Join(s.dir(names.ID), containerFiles["/etc/resolv.conf"]),
	}
}

// writeFiles makes them; the addresses come into hosts when there are any (refreshNames).
func (s *Service) writeFiles(c *Container) error {
	hostname := c.hostname()
	if c.Spec.NetworkMode == "host" && c.Spec.Hostname == "" {
		hostname, _ = os.Hostname()
	}
	dns, err := s.resolvConf(c)
	if err != nil {
		return err
	}
	return errors.Join(
		writeInPlace(filepath.Join(s.dir(c.ID), "hostname"), hostname+"\n"),
		writeInPlace(filepath.Join(s.dir(c.ID), "resolv.conf"), dns),
		writeInPlace(filepath.Join(s.dir(c.ID), "hosts"), c.hosts(nil)),
	)
}

// writeInPlace keeps the file itself: running containers have it mounted.
func writeInPlace(path, text string) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return nil
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// The machine's own resolver configuration, and the one behind a resolver on loopback.
var resolvConfs = []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}

// Resolver is how names are looked up (resolv.conf(5)).
type Resolver struct {
	Servers, Search, Options []string
	// Machine are servers on the machine's loopback, which can be asked from its network only.
	Machine []string
}

// MachineResolver is the machine's own. Servers on its loopback are of use in its own network alone; where there are others,
// nobody else needs them.
func MachineResolver(loopback bool) Resolver {
	var r Resolver
	for _, path := range resolvConfs {
		host, err := readResolvConf(path)
		if err != nil {
			continue
		}
		r.Search, r.Options = host["search"], host["options"]
		for _, server := range host["nameserver"] {
			if a, err := netip.ParseAddr(server); err == nil && a.IsLoopback() && !loopback {
				r.Machine = append(r.Machine, server)
			} else if err == nil {
				r.Servers = append(r.Servers, server)
			}
		}
		if len(r.Servers) > 0 {
			r.Machine = nil
			break
		}
	}
	return r
}

// text is as resolv.conf(5) has it.
func (r Resolver) text() string {
	var b strings.Builder
	for _, server := range r.Servers {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if len(r.Search) > 0 && r.Search[0] != "." {
		fmt.Fprintf(&b, "search %s\n", strings.Join(r.Search, " "))
	}
	if len(r.Options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(r.Options, " "))
	}
	return b.String()
}

func readResolvConf(path string) (map[string][]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found := map[string][]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		if fields[0] != "nameserver" {
			found[fields[0]] = fields[1:]
			continue
		}
		found["nameserver"] = append(found["nameserver"], fields[1])
	}
	return found, lines.Err()
}

// hosts is a container's /etc/hosts: itself, what the user adds, and its neighbours on networks that users made.
func (c *Container) hosts(neighbours []*Container) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n")
	if c.Spec.NetworkMode == "host" {
		if name, err := os.Hostname(); err == nil {
			fmt.Fprintf(&b, "127.0.1.1\t%s\n", name)
		}
	}
	for _, extra := range c.Spec.ExtraHosts {
		name, address, _ := strings.Cut(extra, ":")
		if address == "host-gateway" {
			address = "127.0.0.1"
			for _, n := range c.State.Networks {
				if n.Gateway.IsValid() {
					address = n.Gateway.String()
					break
				}
			}
		}
		fmt.Fprintf(&b, "%s\t%s\n", address, name)
	}
	names := c.hostname()
	if c.Spec.Domainname != "" {
		names = c.hostname() + "." + c.Spec.Domainname + " " + names
	}
	for _, n := range c.State.Networks {
		n.lines(&b, names)
	}
	for _, other := range append([]*Container{c}, neighbours...) {
		for _, theirs := range other.State.Networks {
			if c.shares(theirs) {
				theirs.lines(&b, strings.Join(append(other.DNSNames(theirs), other.Name+"."+theirs.Network), " "))
			}
		}
	}
	return b.String()
}

// lines of /etc/hosts for the addresses of a place.
func (a Attachment) lines(b *strings.Builder, names string) {
	for _, p := range []netip.Prefix{a.IP, a.IP6} {
		if p.IsValid() {
			fmt.Fprintf(b, "%s\t%s\n", p.Addr(), names)
		}
	}
}

// shares says whether a place in a network can be reached by name: on the default bridge nobody can, as with docker.
func (c *Container) shares(theirs Attachment) bool {
	if theirs.Network == bridgeName || !theirs.IP.IsValid() {
		return false
	}
	for _, n := range c.State.Networks {
		if n.ID == theirs.ID {
			return true
		}
	}
	return false
}

// refreshNames writes the hosts files of all containers that run, after one has come, gone or been renamed.
func (s *Service) refreshNames(changed *Container) error {
	unlock, err := filelock.Lock(filepath.Join(s.config.StateDir, "names.lock"), filelock.Exclusive)
	if err != nil {
		return err
	}
	defer unlock()
	list, err := s.all()
	if err != nil {
		return err
	}
	var live []*Container
	for _, c := range list {
		if len(c.State.Networks) > 0 {
			live = append(live, c)
		}
	}
	for _, c := range live {
		var others []*Container
		for _, o := range live {
			if o.ID != c.ID {
				others = append(others, o)
			}
		}
		err := writeInPlace(filepath.Join(s.dir(c.ID), "hosts"), c.hosts(others))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("names of containers: %w", err)
		}
	}
	return nil
}
