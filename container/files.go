package container

import (
	"os"
	"path/filepath"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// writeFiles makes the files that every container of the pod is given: /etc/resolv.conf and /etc/hostname.
func (s *sandbox) writeFiles() error {
	if err := os.WriteFile(filepath.Join(s.dir, "hostname"), []byte(s.hostname()+"\n"), 0o644); err != nil {
		return err
	}
	text := resolvConf(s.config.DnsConfig)
	if s.config.DnsConfig == nil {
		host, err := os.ReadFile("/etc/resolv.conf")
		if err == nil {
			text = string(host)
		}
	}
	return os.WriteFile(filepath.Join(s.dir, "resolv.conf"), []byte(text), 0o644)
}

func (s *sandbox) hostname() string {
	if s.config.Hostname != "" {
		return s.config.Hostname
	}
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// resolvConf writes a configuration as resolv.conf(5) reads it.
func resolvConf(c *cri.DNSConfig) string {
	var b strings.Builder
	if len(c.GetSearches()) > 0 {
		b.WriteString("search " + strings.Join(c.Searches, " ") + "\n")
	}
	for _, server := range c.GetServers() {
		b.WriteString("nameserver " + server + "\n")
	}
	if len(c.GetOptions()) > 0 {
		b.WriteString("options " + strings.Join(c.Options, " ") + "\n")
	}
	return b.String()
}
