package volumespec

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// projection checks the sources of one projected volume, which share a tree of files.
type projection struct {
	*check.List
	at    *field.Path // of the volume's source
	files sets.Set[string]
}

func checkProjected(l *check.List, at *field.Path, p *corev1.ProjectedVolumeSource) {
	l.Mode(at.Child("defaultMode"), p.DefaultMode)
	c := projection{l, at, sets.Set[string]{}}
	for i := range p.Sources {
		here := at.Child("sources").Index(i)
		if c.source(here, &p.Sources[i]) > 1 {
			l.Forbidden(here, "may not specify more than 1 volume type per source")
		}
	}
}

// source returns how many kinds of source s claims to be.
func (c *projection) source(at *field.Path, s *corev1.VolumeProjection) (kinds int) {
	if s.Secret != nil {
		kinds++
		c.items(at.Child("secret"), s.Secret.Name, s.Secret.Items)
	}
	if s.ConfigMap != nil {
		kinds++
		c.items(at.Child("configMap"), s.ConfigMap.Name, s.ConfigMap.Items)
	}
	if s.DownwardAPI != nil {
		kinds++
		for i := range s.DownwardAPI.Items {
			checkFile(c.List, at.Child("downwardAPI"), &s.DownwardAPI.Items[i])
			c.take(s.DownwardAPI.Items[i].Path, s.DownwardAPI.Items[i].Path)
		}
	}
	if s.ServiceAccountToken != nil {
		kinds++
		c.token(at.Child("serviceAccountToken"), s.ServiceAccountToken)
	}
	if s.ClusterTrustBundle != nil {
		kinds++
		c.trustBundle(at.Child("clusterTrustBundle"), s.ClusterTrustBundle)
	}
	if s.PodCertificate != nil {
		kinds++
		c.certificate(at.Child("podCertificate"), s.PodCertificate)
	}
	return kinds
}

// take claims a file of the volume for what is shown as owner.
func (c *projection) take(file, owner string) {
	if file == "" {
		return
	}
	if c.files.Has(file) {
		c.Invalid(c.at, owner, "conflicting duplicate paths")
	}
	c.files.Insert(file)
}

func (c *projection) items(at *field.Path, name string, items []corev1.KeyToPath) {
	c.NonEmpty(at.Child("name"), name)
	for i := range items {
		checkKeyToPath(c.List, at.Child("items").Index(i), &items[i])
		c.take(items[i].Path, name)
	}
}

func (c *projection) token(at *field.Path, t *corev1.ServiceAccountTokenProjection) {
	var seconds int64
	if t.ExpirationSeconds != nil {
		seconds = *t.ExpirationSeconds
	}
	if seconds < 600 {
		c.Invalid(at.Child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes")
	}
	if seconds > 1<<32 {
		c.Invalid(at.Child("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds")
	}
	if c.NonEmpty(c.at.Child("path"), t.Path) {
		c.VolumeFile(c.at.Child("path"), t.Path)
	}
}

func (c *projection) trustBundle(at *field.Path, b *corev1.ClusterTrustBundleProjection) {
	switch {
	case b.Name != nil && b.SignerName != nil:
		c.Invalid(at, b, "only one of name and signerName may be used")
	case b.Name != nil:
		c.bundleName(at.Child("name"), *b.Name)
		if b.LabelSelector != nil {
			c.Invalid(at.Child("labelSelector"), b.LabelSelector, "labelSelector must be unset if name is specified")
		}
	case b.SignerName != nil:
		if *b.SignerName == "" {
			c.Required(at.Child("signerName"), "must be a valid signer name")
		}
		c.signer(at.Child("signerName"), *b.SignerName)
		c.Selector(at.Child("labelSelector"), b.LabelSelector)
	default:
		c.Required(at, "either name or signerName must be specified")
	}
	c.NonEmpty(at.Child("path"), b.Path)
	c.VolumeFile(at.Child("path"), b.Path)
	c.take(b.Path, b.Path)
}

// bundleName allows "name" and "signer:example.com:name".
func (c *projection) bundleName(at *field.Path, name string) {
	if name == "" {
		c.Required(at, "must be a valid object name")
	}
	last := name[strings.LastIndex(name, ":")+1:]
	for _, m := range validation.IsDNS1123Subdomain(last) {
		c.Invalid(at, name, "not a valid clustertrustbundlename: "+m)
	}
}

// signer allows "example.com/name" with a lower-case path of DNS labels.
func (c *projection) signer(at *field.Path, name string) {
	if !c.NonEmpty(at, name) {
		return
	}
	domain, rest, found := strings.Cut(name, "/")
	if !found || strings.Contains(rest, "/") {
		c.Invalid(at, name, `must be a fully qualified domain and path of the form "example.com/signer-name"`)
		return
	}
	c.Each(at, domain, validation.IsDNS1123Subdomain(domain))
	if strings.Count(domain, ".") < 1 {
		c.Invalid(at, domain, "should be a domain with at least two segments separated by dots")
	}
	c.Each(at, rest, validation.IsDNS1123Subdomain(rest))
	if limit := 253 + 1 + 63*5; len(name) > limit {
		c.Add(field.TooLong(at, "", limit))
	}
}

var keyTypes = []string{"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"}

func (c *projection) certificate(at *field.Path, p *corev1.PodCertificateProjection) {
	c.signer(at.Child("signerName"), p.SignerName)
	c.userAnnotations(at.Child("userAnnotations"), p.UserAnnotations)
	if !slices.Contains(keyTypes, p.KeyType) {
		c.Add(field.NotSupported(at.Child("keyType"), p.KeyType, keyTypes))
	}
	if p.MaxExpirationSeconds != nil {
		c.lifetime(at.Child("maxExpirationSeconds"), *p.MaxExpirationSeconds, p.SignerName)
	}
	named := false
	for _, f := range []struct{ name, file string }{
		{"credentialBundlePath", p.CredentialBundlePath}, {"keyPath", p.KeyPath}, {"certificateChainPath", p.CertificateChainPath},
	} {
		if f.file == "" {
			continue
		}
		named = true
		c.VolumeFile(at.Child(f.name), f.file)
		c.take(f.file, f.file)
	}
	if !named {
		c.Required(at, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath")
	}
}

// lifetime allows an hour to 91 days, to one day for Kubernetes' own signers.
func (c *projection) lifetime(at *field.Path, seconds int32, signer string) {
	longest := int32(91 * 24 * 3600)
	if domain, _, _ := strings.Cut(signer, "/"); domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io") {
		longest = 24 * 3600
	}
	if seconds < 3600 {
		c.Invalid(at, seconds, "if provided, maxExpirationSeconds must be >= 3600")
	}
	if seconds > longest {
		c.Invalid(at, seconds, fmt.Sprintf("if provided, maxExpirationSeconds must be <= %d", longest))
	}
}

func (c *projection) userAnnotations(at *field.Path, set map[string]string) {
	for key := range set {
		c.Add(validation.IsDomainPrefixedKey(at, strings.ToLower(key))...)
	}
	if apivalidation.ValidateAnnotationsSize(set) != nil {
		c.Add(field.TooLong(at, "", apivalidation.TotalAnnotationSizeLimitB))
	}
}
