package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"k8s.io/client-go/util/keyutil"

	"dhow/internal/atomicfile"
)

// Files of the keys of service-account tokens: the one that signs, and the public halves of those that did.
const (
	signingKeyFile = "service-account.key"
	formerKeysFile = "service-account-former.pub"
)

// ServiceAccountKey is a public key that verifies tokens.
type ServiceAccountKey struct {
	// ID names it in tokens (kid) and in the published key set: the hash of its DER form.
	ID     string
	Public crypto.PublicKey
	// Retired is when it was replaced, zero for the key that signs and for keys that others have made.
	Retired time.Time
}

// ServiceAccountKeys sign service-account tokens with one key and verify them with that one and others. They are read
// from files; Reload reads those again.
type ServiceAccountKeys struct {
	signing   string   // file of the private key
	former    string   // file of retired public keys, "" if there is none
	verifying []string // further files
	own       string   // file of the cluster's own key where another signs
	current   atomic.Pointer[serviceAccountKeys]
}

type serviceAccountKeys struct {
	signer crypto.Signer
	public []ServiceAccountKey // the signer's first
}

func openServiceAccountKeys(dir string) (*ServiceAccountKeys, error) {
	k := &ServiceAccountKeys{signing: filepath.Join(dir, signingKeyFile), former: filepath.Join(dir, formerKeysFile)}
	return k, k.Reload()
}

// WithFiles returns keys of which the one in the file signing signs (the cluster's own if it is ""), and those in the
// PEM files verifying, public or private, verify too. What the cluster's own keys have signed stays good.
func (k *ServiceAccountKeys) WithFiles(signing string, verifying []string) (*ServiceAccountKeys, error) {
	if signing == "" && len(verifying) == 0 {
		return k, nil
	}
	other := &ServiceAccountKeys{signing: k.signing, former: k.former, verifying: verifying}
	if signing != "" {
		other.signing, other.own = signing, k.signing
	}
	return other, other.Reload()
}

// Signer is the private key that signs now, and its ID.
func (k *ServiceAccountKeys) Signer() (crypto.Signer, string) {
	now := k.current.Load()
	return now.signer, now.public[0].ID
}

// Verifying are all public keys whose tokens are good, the signer's first.
func (k *ServiceAccountKeys) Verifying() []ServiceAccountKey { return k.current.Load().public }

// Files are those that Reload reads.
func (k *ServiceAccountKeys) Files() []string {
	files := append([]string{k.signing, k.former}, k.verifying...)
	if k.own != "" {
		files = append(files, k.own)
	}
	return files
}

// Reload reads the files again. With an error everything stays as it was.
func (k *ServiceAccountKeys) Reload() error {
	private, err := keyutil.PrivateKeyFromFile(k.signing)
	if err != nil {
		return err
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return fmt.Errorf("%s: a %T cannot sign", k.signing, private)
	}
	now := &serviceAccountKeys{signer: signer}
	if err := now.add(signer.Public(), time.Time{}); err != nil {
		return fmt.Errorf("%s: %w", k.signing, err)
	}
	for _, file := range append(slices.Clone(k.verifying), k.own) {
		if file == "" {
			continue
		}
		if err := now.addFile(file); err != nil {
			return err
		}
	}
	former, err := readFormer(k.former)
	if err != nil {
		return err
	}
	for _, f := range former {
		if err := now.add(f.Public, f.Retired); err != nil {
			return fmt.Errorf("%s: %w", k.former, err)
		}
	}
	k.current.Store(now)
	return nil
}

func (s *serviceAccountKeys) addFile(file string) error {
	keys, err := keyutil.PublicKeysFromFile(file) // takes private keys as well
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := s.add(key, time.Time{}); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// add passes over a key that is known already.
func (s *serviceAccountKeys) add(public crypto.PublicKey, retired time.Time) error {
	switch public.(type) {
	case *ecdsa.PublicKey, *rsa.PublicKey:
	default:
		return fmt.Errorf("a key of service-account tokens must be RSA or ECDSA, not %T", public)
	}
	id, err := keyID(public)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(s.public, func(k ServiceAccountKey) bool { return k.ID == id }) {
		s.public = append(s.public, ServiceAccountKey{id, public, retired})
	}
	return nil
}

func keyID(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// retiredHeader of a PEM block says when its key was replaced.
const retiredHeader = "Retired"

// readFormer reads retired keys; no file holds none.
func readFormer(file string) ([]ServiceAccountKey, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []ServiceAccountKey
	for len(bytes.TrimSpace(data)) > 0 {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, fmt.Errorf("%s: not PEM from byte %d on", file, len(data))
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		retired, err := time.Parse(time.RFC3339, block.Headers[retiredHeader])
		if err != nil {
			return nil, fmt.Errorf("%s: header %s: %w", file, retiredHeader, err)
		}
		id, err := keyID(public)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, ServiceAccountKey{id, public, retired})
	}
	return all, nil
}

func writeFormer(file string, keys []ServiceAccountKey) error {
	var out bytes.Buffer
	for _, k := range keys {
		der, err := x509.MarshalPKIXPublicKey(k.Public)
		if err != nil {
			return err
		}
		block := &pem.Block{Type: "PUBLIC KEY", Bytes: der, Headers: map[string]string{retiredHeader: k.Retired.UTC().Format(time.RFC3339)}}
		if err := pem.Encode(&out, block); err != nil {
			return err
		}
	}
	return atomicfile.Write(file, out.Bytes())
}

// ListServiceAccountKeys returns the cluster's own keys in the folder dir, the one that signs first.
func ListServiceAccountKeys(dir string) ([]ServiceAccountKey, error) {
	k, err := openServiceAccountKeys(dir)
	if err != nil {
		return nil, err
	}
	return k.Verifying(), nil
}

// RotateServiceAccountKey makes a new key in dir that signs from now on and returns its ID. What the one before has
// signed stays good: its public half is kept first, so that a crash leaves no token without its key.
func RotateServiceAccountKey(dir string) (id string, err error) {
	k, err := openServiceAccountKeys(dir)
	if err != nil {
		return "", err
	}
	former, err := readFormer(k.former)
	if err != nil {
		return "", err
	}
	last := k.Verifying()[0]
	last.Retired = time.Now()
	former = slices.DeleteFunc(former, func(f ServiceAccountKey) bool { return f.ID == last.ID })
	if err := writeFormer(k.former, append([]ServiceAccountKey{last}, former...)); err != nil {
		return "", fmt.Errorf("keep the key that signed until now: %w", err)
	}
	key, err := newKey()
	if err != nil {
		return "", err
	}
	if err := writeKey(k.signing, key); err != nil {
		return "", err
	}
	return keyID(&key.PublicKey)
}

// ErrSigns: the key that signs cannot be forgotten.
var ErrSigns = errors.New("this key signs tokens now: rotate first")

// ForgetServiceAccountKey removes a retired key from dir; tokens that it has signed are refused from then on.
func ForgetServiceAccountKey(dir, id string) error {
	k, err := openServiceAccountKeys(dir)
	if err != nil {
		return err
	}
	if k.Verifying()[0].ID == id {
		return fmt.Errorf("key %s: %w", id, ErrSigns)
	}
	former, err := readFormer(k.former)
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(former), func(f ServiceAccountKey) bool { return f.ID == id })
	if len(kept) == len(former) {
		return fmt.Errorf("there is no retired key %s", id)
	}
	return writeFormer(k.former, kept)
}
