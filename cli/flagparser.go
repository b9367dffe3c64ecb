package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// flagParser turns flags' texts into values and remembers everything that is wrong with them, so that the
// user sees it all at once.
type flagParser struct{ wrong []error }

func (p *flagParser) err() error {
	if len(p.wrong) == 0 {
		return nil
	}
	return usageError{errors.Join(p.wrong...)}
}

func (p *flagParser) fail(flag, value, want string) {
	p.wrong = append(p.wrong, fmt.Errorf("--%s %q: %s", flag, value, want))
}

// addr is the zero Addr for an empty text.
func (p *flagParser) addr(flag, text string) netip.Addr {
	if text == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		p.fail(flag, text, "not an IP address")
	}
	return a
}

func (p *flagParser) port(flag string, n int) int {
	if n < 1 || n > 65535 {
		p.fail(flag, strconv.Itoa(n), "not a port between 1 and 65535")
	}
	return n
}

// prefixes are one or two networks, of different families.
func (p *flagParser) prefixes(flag, text string) []netip.Prefix {
	var all []netip.Prefix
	for part := range strings.SplitSeq(text, ",") {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(part))
		if err != nil {
			p.fail(flag, part, "not a network such as 10.42.0.0/16")
			continue
		}
		all = append(all, prefix.Masked())
	}
	if len(all) > 2 || len(all) == 2 && all[0].Addr().Is4() == all[1].Addr().Is4() {
		p.fail(flag, text, "give one network, or one IPv4 and one IPv6")
	}
	return all
}

func (p *flagParser) portRange(flag, text string) [2]int {
	var r [2]int
	low, high, ok := strings.Cut(text, "-")
	var err1, err2 error
	r[0], err1 = strconv.Atoi(low)
	r[1], err2 = strconv.Atoi(high)
	if !ok || err1 != nil || err2 != nil || r[0] < 1 || r[1] > 65535 || r[0] > r[1] {
		p.fail(flag, text, "not a range of ports such as 30000-32767")
	}
	return r
}
