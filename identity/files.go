package identity

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"dhow/internal/atomicfile"
)

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func keyPEM(k *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// write puts the key in place before the certificate, so that a certificate always has its key.
func (p pair) write(dir, name string) error {
	if err := writeKey(filepath.Join(dir, name+".key"), p.key); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, name+".crt"), certPEM(p.cert))
}

func writeKey(path string, k *ecdsa.PrivateKey) error {
	data, err := keyPEM(k)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, data)
}

func readPair(dir, name string) (pair, error) {
	key, err := readKey(filepath.Join(dir, name+".key"))
	if err != nil {
		return pair{}, err
	}
	path := filepath.Join(dir, name+".crt")
	der, err := readBlock(path, "CERTIFICATE")
	if err != nil {
		return pair{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return pair{}, fmt.Errorf("%s: %w", path, err)
	}
	if pub, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || !pub.Equal(&key.PublicKey) {
		return pair{}, fmt.Errorf("%s is not the certificate of %s.key", path, name)
	}
	return pair{cert, key}, nil
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	der, err := readBlock(path, "EC PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func readBlock(path, kind string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s holds no PEM block %q", path, kind)
	}
	return block.Bytes, nil
}
