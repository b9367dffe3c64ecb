package encryption

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"sigs.k8s.io/yaml"

	"dhow/internal/atomicfile"
)

// keys are the cluster's own: the first encrypts, if any does, and all decrypt. On disk they are an ordinary
// EncryptionConfiguration, which upstream's API server understands as well.
//
// The cipher is secretbox (XSalsa20 and Poly1305). Its nonces of 192 bits may be random however often one key is used;
// AES-GCM's of 96 bits ask for a new key every 200,000 writes.
type keys struct {
	enabled bool
	list    []apiserverv1.Key
}

const keyBytes = 32

func newKey() (apiserverv1.Key, error) {
	secret, suffix := make([]byte, keyBytes), make([]byte, 4)
	if _, err := rand.Read(secret); err != nil {
		return apiserverv1.Key{}, err
	}
	if _, err := rand.Read(suffix); err != nil {
		return apiserverv1.Key{}, err
	}
	name := "dhow-" + time.Now().UTC().Format("20060102t150405") + "-" + hex.EncodeToString(suffix)
	return apiserverv1.Key{Name: name, Secret: base64.StdEncoding.EncodeToString(secret)}, nil
}

// configuration says the same in upstream's words.
func (k keys) configuration() *apiserverv1.EncryptionConfiguration {
	box := apiserverv1.ProviderConfiguration{Secretbox: &apiserverv1.SecretboxConfiguration{Keys: k.list}}
	plain := apiserverv1.ProviderConfiguration{Identity: &apiserverv1.IdentityConfiguration{}}
	providers := []apiserverv1.ProviderConfiguration{box, plain}
	if !k.enabled {
		providers = []apiserverv1.ProviderConfiguration{plain, box}
	}
	return &apiserverv1.EncryptionConfiguration{
		TypeMeta:  metav1.TypeMeta{APIVersion: apiserverv1.SchemeGroupVersion.String(), Kind: "EncryptionConfiguration"},
		Resources: []apiserverv1.ResourceConfiguration{{Resources: []string{"secrets"}, Providers: providers}},
	}
}

func readKeys(path string) (keys, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return keys{}, err
	}
	var c apiserverv1.EncryptionConfiguration
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return keys{}, fmt.Errorf("%s: %w", path, err)
	}
	if len(c.Resources) != 1 || len(c.Resources[0].Providers) != 2 {
		return keys{}, fmt.Errorf("%s is not as dhow writes it; for a configuration of your own use --encryption-provider-config", path)
	}
	var k keys
	for i, p := range c.Resources[0].Providers {
		if p.Secretbox != nil {
			k.enabled, k.list = i == 0, p.Secretbox.Keys
		}
	}
	if len(k.list) == 0 {
		return keys{}, fmt.Errorf("%s has no key", path)
	}
	return k, nil
}

// write makes path hold the keys, mode 0600, or leaves it as it was.
func (k keys) write(path string) error {
	data, err := yaml.Marshal(k.configuration())
	if err != nil {
		return err
	}
	return atomicfile.Write(path, data)
}

// prefixes are how values start that these keys have encrypted.
func prefixes(list []apiserverv1.Key) []string {
	var all []string
	for _, k := range list {
		all = append(all, "k8s:enc:secretbox:v1:"+k.Name+":")
	}
	return all
}
