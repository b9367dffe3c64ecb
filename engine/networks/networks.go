// Package networks makes bridge networks for containers without a cluster: a bridge and a subnet each, addresses,
// masquerade on the way out, and published ports. There is no daemon: each process changes links under a lock and
// writes this engine's own nftables table anew from the records. It touches no other table but to let its packets
// through chains that drop what they do not know (nft.Passage), as the pod network does.
package networks

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"dhow/internal/atomicfile"
	"dhow/internal/filelock"
)

// Network is one.
type Network struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Subnet is IPv4; Gateway is the bridge's own address in it. Range is what IPv4 addresses are chosen from.
	Subnet  netip.Prefix `json:"subnet"`
	Gateway netip.Addr   `json:"gateway"`
	// Subnet6 and Gateway6 are the same for IPv6; not valid: the network has none.
	Subnet6  netip.Prefix `json:"subnet6,omitzero"`
	Gateway6 netip.Addr   `json:"gateway6,omitzero"`
	Range    netip.Prefix `json:"range,omitzero"`
	// Internal networks lead nowhere else.
	Internal bool              `json:"internal,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	// Link is the bridge.
	Link string `json:"link"`
	MTU  int    `json:"mtu,omitempty"`
}

// Bridge is the network of containers that ask for none.
const Bridge = "bridge"

// Errors that a caller branches on.
var (
	ErrNotFound = errors.New("network not found")
	ErrExists   = errors.New("network exists already")
)

// Config of Networks.
type Config struct {
	// Dir keeps the networks; StateDir who is in them, until a reboot.
	Dir, StateDir string
	// Name begins the names of links and of the table; six characters at most.
	Name string
}

// Networks are the networks of one engine.
type Networks struct{ config Config }

// New makes nothing yet.
func New(c Config) *Networks { return &Networks{c} }

var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// lock keeps all changes of networks one after the other.
func (n *Networks) lock() (unlock func(), err error) {
	if err := errors.Join(os.MkdirAll(n.config.Dir, 0o700), os.MkdirAll(n.config.StateDir, 0o700)); err != nil {
		return nil, err
	}
	return filelock.Lock(filepath.Join(n.config.StateDir, "lock"), filelock.Exclusive)
}

// Create makes a network. Links are made when the first container joins.
func (n *Networks) Create(w Network) (*Network, error) {
	if !validName.MatchString(w.Name) {
		return nil, fmt.Errorf("%q is no name for a network: only [a-zA-Z0-9][a-zA-Z0-9_.-]* is", w.Name)
	}
	if slices.Contains([]string{Bridge, "host", "none", "default"}, w.Name) {
		return nil, fmt.Errorf("operation is not permitted on predefined %s network", w.Name)
	}
	unlock, err := n.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return n.create(w)
}

func (n *Networks) create(w Network) (*Network, error) {
	all, err := n.list()
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(all, func(o *Network) bool { return o.Name == w.Name }) {
		return nil, fmt.Errorf("network with name %s already exists: %w", w.Name, ErrExists)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails
	w.ID, w.Created = hex.EncodeToString(id), time.Now()
	w.Link = n.config.Name + "-" + w.ID[:8]
	if err := errors.Join(w.choose(all), w.choose6(all)); err != nil {
		return nil, err
	}
	data, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	return &w, atomicfile.Write(filepath.Join(n.config.Dir, w.ID+".json"), data)
}

// List is all networks, the bridge first.
func (n *Networks) List() ([]*Network, error) {
	if _, err := n.Get(Bridge); err != nil {
		return nil, err
	}
	return n.list()
}

func (n *Networks) list() ([]*Network, error) {
	entries, err := os.ReadDir(n.config.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []*Network
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		w := &Network{}
		data, err := os.ReadFile(filepath.Join(n.config.Dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = json.Unmarshal(data, w)
		}
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", e.Name(), err)
		}
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b *Network) int {
		if (a.Name == Bridge) != (b.Name == Bridge) {
			if a.Name == Bridge {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all, nil
}

// Get finds a network by its name, its id or the beginning of one. The bridge is made when it is first asked for.
func (n *Networks) Get(ref string) (*Network, error) {
	if ref == Bridge {
		unlock, err := n.lock()
		if err != nil {
			return nil, err
		}
		defer unlock()
		w, err := n.get(ref)
		if errors.Is(err, ErrNotFound) {
			return n.create(Network{Name: Bridge})
		}
		return w, err
	}
	return n.get(ref)
}

func (n *Networks) get(ref string) (*Network, error) {
	all, err := n.list()
	if err != nil {
		return nil, err
	}
	for _, match := range []func(*Network) bool{
		func(w *Network) bool { return w.Name == ref || w.ID == ref },
		func(w *Network) bool { return ref != "" && strings.HasPrefix(w.ID, ref) },
	} {
		if i := slices.IndexFunc(all, match); i >= 0 {
			return all[i], nil
		}
	}
	return nil, fmt.Errorf("network %s not found: %w", ref, ErrNotFound)
}

// Remove deletes a network that no container is in.
func (n *Networks) Remove(ref string) (*Network, error) {
	unlock, err := n.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	w, err := n.get(ref)
	if err != nil {
		return nil, err
	}
	if w.Name == Bridge {
		return nil, fmt.Errorf("%s is a pre-defined network and cannot be removed", w.Name)
	}
	members, err := n.members()
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		if m.in(w.ID) != nil {
			return nil, fmt.Errorf("error while removing network: network %s has active endpoints (name:%q)", w.Name, m.Name)
		}
	}
	if err := deleteLink(w.Link); err != nil {
		return nil, err
	}
	return w, os.Remove(filepath.Join(n.config.Dir, w.ID+".json"))
}
