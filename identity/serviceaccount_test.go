package identity

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestARetiredKeyVerifiesUntilItIsForgotten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	first := open(t, dir).ServiceAccountKeys.Verifying()[0].ID
	second, err := RotateServiceAccountKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ListServiceAccountKeys(dir)
	if err != nil || len(keys) != 2 || keys[0].ID != second || keys[1].ID != first || keys[1].Retired.IsZero() {
		t.Fatalf("%+v, %v; want the new key, then the retired one", keys, err)
	}
	if err := ForgetServiceAccountKey(dir, second); !errors.Is(err, ErrSigns) {
		t.Errorf("forgetting the key that signs: %v", err)
	}
	if err := ForgetServiceAccountKey(dir, first); err != nil {
		t.Fatal(err)
	}
	if err := ForgetServiceAccountKey(dir, first); err == nil {
		t.Error("a key was forgotten twice")
	}
}

func TestACutOffRotationLosesNoKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	id := open(t, dir)
	first := id.ServiceAccountKeys.Verifying()[0]
	if err := writeFormer(filepath.Join(dir, formerKeysFile), []ServiceAccountKey{first}); err != nil {
		t.Fatal(err) // as after a crash before the new key was written
	}
	if keys := open(t, dir).ServiceAccountKeys.Verifying(); len(keys) != 1 || keys[0].ID != first.ID {
		t.Errorf("%+v; want the key once", keys)
	}
}

func TestABadKeyFileIsNamedAndChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	keys := open(t, dir).ServiceAccountKeys
	file := filepath.Join(t.TempDir(), "other.pub")
	if err := os.WriteFile(file, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.WithFiles("", []string{file}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("%v, want an error that names %s", err, file)
	}
	if err := os.WriteFile(filepath.Join(dir, signingKeyFile), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keys.Reload(); err == nil || len(keys.Verifying()) != 1 {
		t.Errorf("%v, %d keys", err, len(keys.Verifying()))
	}
}
