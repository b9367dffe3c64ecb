package networks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Member is a container that runs, with its places in networks and its ports on the host.
type Member struct {
	ID, Name string
	// Sandbox is who asked for it.
	Sandbox string
	Places  []Place `json:",omitempty"`
	Ports   []Port  `json:",omitempty"`
}

// Place is a container's in one network.
type Place struct {
	Network string // its id
	IP      netip.Addr
	IP6     netip.Addr `json:",omitzero"`
	MAC     string
	// Link in the container, Host the other end on the bridge.
	Link, Host string
}

// Port of the host that leads to a container's.
type Port struct {
	Protocol string
	HostIP   netip.Addr `json:",omitzero"` // all of the host's IPv4 addresses if not valid
	Host     uint16
	To       uint16
}

// Want is what a container asks of a network.
type Want struct {
	Network string
	IP      netip.Addr
	IP6     netip.Addr
	MAC     string
}

const memberSuffix = ".member.json"

func (m *Member) in(network string) *Place {
	for i := range m.Places {
		if m.Places[i].Network == network {
			return &m.Places[i]
		}
	}
	return nil
}

func (n *Networks) members() ([]*Member, error) {
	entries, err := os.ReadDir(n.config.StateDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []*Member
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), memberSuffix) {
			continue
		}
		m := &Member{}
		data, err := os.ReadFile(filepath.Join(n.config.StateDir, e.Name()))
		if err == nil {
			err = json.Unmarshal(data, m)
		}
		if err != nil {
			return nil, fmt.Errorf("places in networks: %w", err)
		}
		all = append(all, m)
	}
	return all, nil
}

func (n *Networks) memberFile(id string) string {
	return filepath.Join(n.config.StateDir, id+memberSuffix)
}

func (n *Networks) save(m *Member) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	path := n.memberFile(m.ID)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// held reads the members, and keeps others from changing them until it is unlocked.
func (n *Networks) held() (all []*Member, unlock func(), err error) {
	if unlock, err = n.lock(); err != nil {
		return nil, nil, err
	}
	if all, err = n.members(); err != nil {
		unlock()
		return nil, nil, err
	}
	return all, unlock, nil
}

// Members are the containers in a network, with their addresses.
func (n *Networks) Members(network string) (map[string]Place, error) {
	all, err := n.members()
	if err != nil {
		return nil, err
	}
	found := map[string]Place{}
	for _, m := range all {
		if p := m.in(network); p != nil {
			found[m.ID] = *p
		}
	}
	return found, nil
}

// Join puts a container, whose network namespace is at the path, into networks, and publishes its ports. A container
// that is in some already gets more. Nothing stays on error.
func (n *Networks) Join(id, name, sandbox, netns string, wants []Want, ports []Port) (*Member, error) {
	all, unlock, err := n.held()
	if err != nil {
		return nil, err
	}
	defer unlock()
	m := &Member{ID: id, Name: name, Sandbox: sandbox}
	if i := slices.IndexFunc(all, func(o *Member) bool { return o.ID == id }); i >= 0 {
		m = all[i]
		m.Sandbox = sandbox
	} else {
		all = append(all, m)
	}
	before := len(m.Places)
	m.Ports = append(m.Ports, ports...)
	for _, want := range wants {
		if err := n.join(m, all, want, netns); err != nil {
			return nil, errors.Join(err, n.undo(m, before, all))
		}
	}
	if err := errors.Join(n.save(m), n.apply(all)); err != nil {
		return nil, errors.Join(err, n.undo(m, before, all))
	}
	return m, nil
}

func (n *Networks) join(m *Member, all []*Member, want Want, netns string) error {
	w, err := n.get(want.Network)
	if err != nil {
		return err
	}
	if m.in(w.ID) != nil {
		return fmt.Errorf("endpoint with name %s already exists in network %s", m.Name, w.Name)
	}
	p := Place{Network: w.ID, IP: want.IP, MAC: want.MAC, Link: fmt.Sprintf("eth%d", freeIndex(m)), Host: hostLink(n.config.Name, m.ID, w.ID)}
	if p.IP, err = w.address(want.IP, all); err != nil {
		return err
	}
	if p.IP6, err = w.address6(want.IP6, all); err != nil {
		return err
	}
	if p.MAC == "" {
		ip := p.IP.As4()
		p.MAC = net.HardwareAddr{0x02, 0x42, ip[0], ip[1], ip[2], ip[3]}.String()
	}
	if err := ensureBridge(w); err != nil {
		return err
	}
	leads, err := n.leadingOut(m)
	if err != nil {
		return err
	}
	m.Places = append(m.Places, p)
	return errors.Join(connect(w, p, netns, leads == nil && !w.Internal), announce(w, p))
}

// leadingOut is the network by which a container reaches what is not in its networks: the first that is not internal.
func (n *Networks) leadingOut(m *Member) (*Network, error) {
	for _, p := range m.Places {
		w, err := n.get(p.Network)
		if err != nil {
			return nil, err
		}
		if !w.Internal {
			return w, nil
		}
	}
	return nil, nil
}

func freeIndex(m *Member) int {
	i := 0
	for slices.ContainsFunc(m.Places, func(p Place) bool { return p.Link == fmt.Sprintf("eth%d", i) }) {
		i++
	}
	return i
}

// undo takes the latest places back.
func (n *Networks) undo(m *Member, keep int, all []*Member) error {
	var failed error
	for _, p := range m.Places[keep:] {
		failed = errors.Join(failed, deleteLink(p.Host))
	}
	m.Places = m.Places[:keep]
	if keep > 0 {
		return errors.Join(failed, n.save(m))
	}
	return errors.Join(failed, n.forget(m, all))
}

// Leave takes the container of a sandbox out of all networks; an unknown one is no error.
func (n *Networks) Leave(sandbox string) error {
	return n.leave(func(m *Member) bool { return m.Sandbox == sandbox })
}

// Forget takes a container out of all networks; an unknown one is no error.
func (n *Networks) Forget(id string) error {
	if _, err := os.Stat(n.memberFile(id)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return n.leave(func(m *Member) bool { return m.ID == id })
}

func (n *Networks) leave(who func(*Member) bool) error {
	all, unlock, err := n.held()
	if err != nil {
		return err
	}
	defer unlock()
	i := slices.IndexFunc(all, who)
	if i < 0 {
		return nil
	}
	m := all[i]
	var failed error
	for _, p := range m.Places {
		failed = errors.Join(failed, deleteLink(p.Host))
	}
	return errors.Join(failed, n.forget(m, all))
}

// forget drops the record, and the bridges that are empty now.
func (n *Networks) forget(m *Member, all []*Member) error {
	if err := os.Remove(n.memberFile(m.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	rest := slices.DeleteFunc(slices.Clone(all), func(o *Member) bool { return o.ID == m.ID })
	return errors.Join(n.apply(rest), n.dropEmpty(rest))
}

func (n *Networks) dropEmpty(members []*Member) error {
	list, err := n.list()
	if err != nil {
		return err
	}
	for _, w := range list {
		if !slices.ContainsFunc(members, func(m *Member) bool { return m.in(w.ID) != nil }) {
			err = errors.Join(err, deleteLink(w.Link))
		}
	}
	return err
}

// Disconnect takes a container that runs, whose network namespace is at the path, out of one network. If that was its way
// out, the next network becomes that.
func (n *Networks) Disconnect(id, network, netns string) error {
	all, unlock, err := n.held()
	if err != nil {
		return err
	}
	defer unlock()
	for _, m := range all {
		p := m.in(network)
		if m.ID != id || p == nil {
			continue
		}
		err := deleteLink(p.Host)
		m.Places = slices.DeleteFunc(m.Places, func(p Place) bool { return p.Network == network })
		out, e := n.leadingOut(m)
		if e == nil && out != nil {
			e = leadOut(out, *m.in(out.ID), netns)
		}
		return errors.Join(err, e, n.save(m), n.apply(all), n.dropEmpty(all))
	}
	return nil
}
