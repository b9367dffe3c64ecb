package cdi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDevicesAreFoundAndLaterFoldersWin(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	write(t, first, "a.yaml", "cdiVersion: 0.6.0\nkind: acme.com/winch\ncontainerEdits: {env: [ALL=1]}\ndevices:\n- name: port\n  containerEdits: {env: [SIDE=old]}\n- name: bow\n  containerEdits: {env: [SIDE=bow]}\n")
	write(t, second, "b.json", `{"cdiVersion": "0.6.0", "kind": "acme.com/winch", "devices": [{"name": "port", "containerEdits": {"env": ["SIDE=port"]}}]}`)
	write(t, second, "readme.txt", "not a description")
	edits, err := Resolve([]string{first, second, "/no/such"}, []string{"acme.com/winch=port", "acme.com/winch=bow"})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(edits.Env, " "); got != "SIDE=port ALL=1 SIDE=bow" {
		t.Errorf("got %s", got)
	}
	for _, name := range []string{"acme.com/winch=stern", "acme.com/winch", "winch=port"} {
		if _, err := Resolve([]string{first}, []string{name}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(t, second, "c.json", "{")
	if _, err := Resolve([]string{second}, []string{"acme.com/winch=port"}); err == nil || !strings.Contains(err.Error(), "c.json") {
		t.Errorf("a broken file: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("cdiVersion: 0.6.0\nkind: a/b\ndevices: [{name: x}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if spec, err := Parse(data); err == nil && spec.Kind == "" {
			t.Error("a description without a kind is taken")
		}
	})
}
