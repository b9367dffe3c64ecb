package dns

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/coredns/caddy/caddyfile"
	"github.com/coredns/coredns/plugin/pkg/parse"
	"github.com/coredns/coredns/plugin/pkg/transport"
)

// DefaultCorefile is used where the cluster has none.
func DefaultCorefile(domain string) string {
	return fmt.Sprintf(`.:53 {
    errors
    kubernetes %s in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    forward . /etc/resolv.conf {
        max_concurrent 1000
    }
    cache 30
    loop
    reload
    loadbalance
}
`, domain)
}

// adapt makes a Corefile that was written for a pod fit for the host's network: server blocks, and plug-ins that
// serve over HTTP, listen on our addresses and not on every address of the machine, unless they say where.
func adapt(corefile string, listen []netip.AddrPort) (string, error) {
	blocks, err := caddyfile.Parse("Corefile", strings.NewReader(corefile), nil)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	for _, b := range blocks {
		keys := make([]string, 0, len(b.Keys))
		for _, key := range b.Keys {
			keys = append(keys, onPort(key, listen[0].Port()))
		}
		fmt.Fprintf(&out, "%s {\n", strings.Join(keys, " "))
		if b.Tokens["bind"] == nil {
			out.WriteString("bind")
			for _, a := range listen {
				out.WriteString(" " + a.Addr().String())
			}
			out.WriteString("\n")
		}
		for _, directive := range sortedKeys(b.Tokens) {
			write(&out, withAddress(b.Tokens[directive], listen[0].Addr()))
		}
		out.WriteString("}\n")
	}
	return out.String(), nil
}

func sortedKeys(m map[string][]caddyfile.Token) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// onPort gives a server block's key our port where it means plain DNS on the usual one.
func onPort(key string, port uint16) string {
	kind, rest := parse.Transport(key)
	host, number, err := net.SplitHostPort(rest)
	if err != nil {
		host, number = rest, ""
	}
	if kind != transport.DNS || (number != "" && number != transport.Port) {
		return key
	}
	return host + ":" + strconv.Itoa(int(port))
}

// httpPorts are those of plug-ins that serve over HTTP.
var httpPorts = map[string]int{"health": 8080, "ready": 8181, "prometheus": 9153}

// withAddress adds our address to such a plug-in's line when it has none, or none but a port.
func withAddress(tokens []caddyfile.Token, address netip.Addr) []caddyfile.Token {
	port, is := httpPorts[tokens[0].Text]
	if !is {
		return tokens
	}
	if len(tokens) > 1 && tokens[1].Line == tokens[0].Line && tokens[1].Text != "{" {
		if host, number, err := net.SplitHostPort(tokens[1].Text); err == nil && host == "" {
			tokens = slices.Clone(tokens)
			tokens[1].Text = net.JoinHostPort(address.String(), number)
		}
		return tokens
	}
	added := tokens[0]
	added.Text = net.JoinHostPort(address.String(), strconv.Itoa(port))
	return slices.Insert(slices.Clone(tokens), 1, added)
}

// write puts tokens that were on one line onto one line.
func write(out *bytes.Buffer, tokens []caddyfile.Token) {
	for i, t := range tokens {
		switch {
		case i == 0:
		case t.Line != tokens[i-1].Line || t.File != tokens[i-1].File:
			out.WriteByte('\n')
		default:
			out.WriteByte(' ')
		}
		out.WriteString(quoted(t.Text))
	}
	out.WriteByte('\n')
}

func quoted(text string) string {
	if text == "" || strings.ContainsAny(text, " \t\n\"#") {
		return `"` + strings.ReplaceAll(text, `"`, `\"`) + `"`
	}
	return text
}
