package flagtext

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shown is a value as JSON, or its error.
func shown(v any, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestVolumes(t *testing.T) {
	for text, want := range map[string]string{
		"/data":                `{"type":"volume","target":"/data"}`,
		"name:/data":           `{"type":"volume","source":"name","target":"/data"}`,
		"name:/data:ro,nocopy": `{"type":"volume","source":"name","target":"/data","readOnly":true,"nocopy":true}`,
		"/data:ro":             `{"type":"volume","target":"/data","readOnly":true}`,
		"/host/:/data:rslave":  `{"type":"bind","source":"/host","target":"/data","propagation":"rslave","createSource":true}`,
		"./x:/data:z":          `{"type":"bind","source":"/here/x","target":"/data","relabel":"shared","createSource":true}`,
		"/a:/b:rro,Z":          `{"type":"bind","source":"/a","target":"/b","readOnly":true,"recursive":true,"relabel":"private","createSource":true}`,
		"data":                 "must be absolute", "name:data": "must be absolute", ":/data": "the source is empty", "a:/b:c:d": "want [SOURCE:]TARGET", "/a:/b:bogus": "invalid mode: bogus", "": "must be absolute",
	} {
		if got := shown(Volume(text, "/here")); !strings.EqualFold(got, want) && !(strings.HasPrefix(got, "error") && strings.Contains(got, want)) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestPorts(t *testing.T) {
	for text, want := range map[string]string{
		"80":                `[{"protocol":"tcp","container":80}]`,
		"8080:80":           `[{"protocol":"tcp","container":80,"host":8080}]`,
		"8080:80/UDP":       `[{"protocol":"udp","container":80,"host":8080}]`,
		"127.0.0.1::80":     `[{"protocol":"tcp","container":80,"hostIP":"127.0.0.1"}]`,
		"[::1]:8080:80":     `[{"protocol":"tcp","container":80,"hostIP":"::1","host":8080}]`,
		"1.2.3.4:1-2:3-4":   `[{"protocol":"tcp","container":3,"hostIP":"1.2.3.4","host":1},{"protocol":"tcp","container":4,"hostIP":"1.2.3.4","host":2}]`,
		"1-5:80":            `[{"protocol":"tcp","container":80,"host":1,"last":5}]`,
		"65534-65535:80-81": `[{"protocol":"tcp","container":80,"host":65534},{"protocol":"tcp","container":81,"host":65535}]`,
		"":                  "invalid containerPort", "0": "invalid containerPort", "65536": "invalid containerPort", "a:80": "invalid hostPort: a", "80/x": "invalid proto: x", "1.2.3:1:1": "invalid IP address: 1.2.3",
		"1-3:1-2": "invalid ranges", "5-1": "invalid containerPort",
	} {
		if got := shown(Publish(text)); got != want && !(strings.HasPrefix(got, "error") && strings.Contains(got, want)) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if got := shown(Expose("8000-8001/udp")); got != `[{"protocol":"udp","container":8000},{"protocol":"udp","container":8001}]` {
		t.Error(got)
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{shown(Bytes("64m")), "67108864"}, {shown(Bytes("1.5GB")), "1610612736"}, {shown(Bytes("10")), "10"}, {shown(Bytes("2KiB")), "2048"},
		{shown(Bytes("")), "invalid size"}, {shown(Bytes("-1")), "invalid size"}, {shown(Bytes("9999999999p")), "invalid size"}, {shown(Bytes("nan")), "invalid size"}, {shown(Bytes("infm")), "invalid size"},
		{shown(CPUs("1.5")), "150000"}, {shown(CPUs("0")), "not a number of processors"}, {shown(CPUs("nan")), "not a number of processors"}, {shown(CPUs("1e30")), "not a number of processors"},
		{shown(Ulimit("nofile=1:2")), `{"type":"nofile","soft":1,"hard":2}`}, {shown(Ulimit("core=-1")), `{"type":"core","soft":18446744073709551615,"hard":18446744073709551615}`},
		{shown(Ulimit("nofile")), "invalid ulimit argument: nofile"}, {shown(Ulimit("nofile=2:1")), "less than or equal"}, {shown(Ulimit("=1")), "invalid ulimit"},
		{shown(Device("/dev/x")), `{"host":"/dev/x","container":"/dev/x","permissions":"rwm"}`}, {shown(Device("/dev/x:r")), `{"host":"/dev/x","container":"/dev/x","permissions":"r"}`},
		{shown(Device("/dev/x:/y:rw")), `{"host":"/dev/x","container":"/y","permissions":"rw"}`}, {shown(Device("/dev/x:/y:q")), "invalid device"}, {shown(Device("a:b:c:d")), "invalid device"},
		{shown(DeviceRate("/dev/x:1mb", true)), `{"path":"/dev/x","rate":1048576}`}, {shown(DeviceRate("/dev/x:50", false)), `{"path":"/dev/x","rate":50}`}, {shown(DeviceRate("/dev/x:1mb", false)), "invalid rate"}, {shown(DeviceRate("x:1", true)), "bad format"},
		{shown(WeightDevice("/dev/x:500")), `{"path":"/dev/x","weight":500}`}, {shown(WeightDevice("/dev/x:5")), "invalid weight"},
		{shown(Restart("on-failure:3")), `{"policy":"on-failure","maxRetries":3}`}, {shown(Restart("always:3")), "maximum retry count can only"}, {shown(Restart("on-failure:-1")), "must be an integer"}, {shown(Restart("x")), "unknown policy 'x'"},
		{shown(Host("a:1.2.3.4")), `"a:1.2.3.4"`}, {shown(Host("a=[::1]")), `"a:::1"`}, {shown(Host("a:host-gateway")), `"a:host-gateway"`}, {shown(Host("a")), "bad format"}, {shown(Host(":1.2.3.4")), "bad format"},
		{shown(Signal("TERM")), "15"}, {shown(Signal("sigusr1")), "10"}, {shown(Signal("9")), "9"}, {shown(Signal("RTMIN+3")), "37"}, {shown(Signal("0")), "invalid signal"}, {shown(Signal("65")), "invalid signal"}, {shown(Signal("NOPE")), "invalid signal"}, {shown(Signal("RTMIN+99")), "invalid signal"},
		{shown(Tmpfs("/m:size=1m,mode=700,noexec")), `{"target":"/m","size":1048576,"mode":448,"options":["noexec"]}`}, {shown(Tmpfs("m")), "must be absolute"}, {shown(Tmpfs("/m:mode=9")), "invalid"},
	} {
		if c.got != c.want && !(strings.HasPrefix(c.got, "error") && strings.Contains(c.got, c.want)) {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}

func TestUserNamespaces(t *testing.T) {
	for text, want := range map[string]string{"host": "host", "auto": "auto", "100000:65536": "100000+65536", "0:1": "invalid mode", "1:0": "invalid mode", "4294967295:2": "invalid mode", "keep-id": "invalid mode", "a:b": "invalid mode"} {
		mode, ids, err := UserNS(text)
		got := mode
		if ids != nil {
			got = strings.ReplaceAll(strings.Trim(shown(ids, nil), `{}`), `"first":100000,"count":65536`, "100000+65536")
		}
		if err != nil {
			got = err.Error()
		}
		if got != want && !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vars")
	for text, want := range map[string]string{
		"A=1\n# no\n\n  B=x y\nC\n": `["A=1","B=x y","C"]`, "A=#x=y": `["A=#x=y"]`, "A B=1": "a name has no blanks", "=1": "a name has no blanks",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := shown(Lines(path)); got != want && !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// FuzzFlags: no text brings a reader down, and what is taken can be used.
func FuzzFlags(f *testing.F) {
	for _, text := range []string{"/a:/b:ro", "1.2.3.4:1-2:3-4/udp", "type=bind,src=/a,dst=/b", "64m", "nofile=1:2", "/m:size=1m", "RTMIN+3", "a:1.2.3.4", "1-65535:1-65535"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := Volume(text, "/here"); err == nil && (!filepath.IsAbs(m.Target) || m.Type == "bind" && !filepath.IsAbs(m.Source)) {
			t.Errorf("volume %q: %+v", text, m)
		}
		if ports, err := Publish(text); err == nil {
			for _, p := range ports {
				if p.Container == 0 || p.Last != 0 && p.Last < p.Host {
					t.Errorf("publish %q: %+v", text, p)
				}
			}
		}
		if n, err := Bytes(text); err == nil && n < 0 {
			t.Errorf("size %q: %d", text, n)
		}
		if n, err := CPUs(text); err == nil && n < 1000 {
			t.Errorf("processors %q: %d", text, n)
		}
		if s, err := Signal(text); err == nil && (s < 1 || s > 64) {
			t.Errorf("signal %q: %d", text, s)
		}
		if r, err := Ulimit(text); err == nil && r.Soft > r.Hard {
			t.Errorf("ulimit %q: %+v", text, r)
		}
		_, _, _ = Mount(text)
		_, _ = Tmpfs(text)
		_, _ = Expose(text)
		_, _ = Device(text)
		_, _ = DeviceRate(text, true)
		_, _ = Restart(text)
		_, _ = Host(text)
		_, _, _ = UserNS(text)
	})
}
