package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

const (
	recordSuffix = ".pod.json"
	nodeFile     = "node.json"
)

// record is what one sandbox has.
type record struct {
	ID        string       `json:"id"`
	Pod       string       `json:"pod"`
	Addresses []netip.Addr `json:"addresses"`
	Ports     []hostPort   `json:"ports,omitempty"`
}

// nodeRecord is what the node has.
type nodeRecord struct {
	PodCIDRs []netip.Prefix `json:"podCIDRs,omitempty"`
	// Last are the addresses that were handed out last, one per pod CIDR.
	Last []netip.Addr `json:"last,omitempty"`
}

// records keeps a file per sandbox and one for the node in a directory.
type records struct{ dir string }

func (r records) load() (map[string]*record, nodeRecord, error) {
	var node nodeRecord
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, node, fmt.Errorf("make network state directory: %w", err)
	}
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, node, fmt.Errorf("read network state: %w", err)
	}
	all := map[string]*record{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), recordSuffix) {
			continue
		}
		rec := &record{}
		if err := r.read(e.Name(), rec); err != nil {
			return nil, node, err
		}
		all[rec.ID] = rec
	}
	if err := r.read(nodeFile, &node); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, node, err
	}
	return all, node, nil
}

func (r records) save(rec *record) error { return r.write(rec.ID+recordSuffix, rec) }

func (r records) saveNode(node nodeRecord) error { return r.write(nodeFile, node) }

func (r records) remove(id string) error {
	err := os.Remove(filepath.Join(r.dir, id+recordSuffix))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget addresses of sandbox %s: %w", id, err)
	}
	return nil
}

func (r records) read(name string, into any) error {
	data, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		return fmt.Errorf("read network state: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read network state %s: %w", name, err)
	}
	return nil
}

// write replaces a file as a whole. The directory does not outlive a reboot, so nothing is synced to disk.
func (r records) write(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode network state %s: %w", name, err)
	}
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("write network state: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write network state: %w", err)
	}
	return nil
}
