package certificate

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/apiserver"
)

type trustBundle = certificatesv1.ClusterTrustBundle

const longestBundle = 1 << 20 // bytes

// bundles are what a cluster trusts, by signer or by name alone.
func bundles() apiserver.Kind {
	return apiserver.Define[*trustBundle, *certificatesv1.ClusterTrustBundleList](certificatesv1.SchemeGroupVersion,
		apiserver.Names{Kind: "ClusterTrustBundle", Resource: "clustertrustbundles", Cluster: true},
		apiserver.Rules[*trustBundle]{
			ValidateName: func(string) []string { return nil }, // depends on the signer
			Validate: func(_ context.Context, b *trustBundle) field.ErrorList {
				var c bundleCheck
				c.whole(b)
				c.anchors(b.Spec.TrustBundle)
				return c.Errors()
			},
			ValidateUpdate: func(_ context.Context, b, old *trustBundle) field.ErrorList {
				var c bundleCheck
				c.whole(b)
				if b.Spec.TrustBundle != old.Spec.TrustBundle { // parsers grow stricter: what is there may stay
					c.anchors(b.Spec.TrustBundle)
				}
				c.Immutable(field.NewPath("spec", "signerName"), b.Spec.SignerName, old.Spec.SignerName)
				return c.Errors()
			},
			RequireResourceVersion: true,
			Fields: func(b *trustBundle) fields.Set {
				return fields.Set{"spec.signerName": b.Spec.SignerName}
			},
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Column("SignerName", certificatesv1.ClusterTrustBundleSpec{}.SwaggerDoc()["signerName"]),
			},
			Cells: func(b *trustBundle) []any { return []any{table.Or(b.Spec.SignerName, "<none>")} },
		})
}

type bundleCheck struct{ check.List }

func (c *bundleCheck) whole(b *trustBundle) {
	meta, signer := field.NewPath("metadata"), b.Spec.SignerName
	if b.GenerateName != "" {
		c.Each(meta.Child("generateName"), b.GenerateName, badBundleName(b.GenerateName, signer, true))
	}
	if b.Name != "" {
		c.Each(meta.Child("name"), b.Name, badBundleName(b.Name, signer, false))
	}
	if signer != "" {
		c.Signer(field.NewPath("spec", "signerName"), signer)
	}
}

// badBundleName says what is wrong with a name: it begins with the signer's, with colons for slashes, or has no colon.
func badBundleName(name, signer string, prefix bool) []string {
	if signer == "" {
		if strings.Contains(name, ":") {
			return []string{`ClusterTrustBundle without signer name must not have ":" in its name`}
		}
		return apivalidation.NameIsDNSSubdomain(name, prefix)
	}
	begin := strings.ReplaceAll(signer, "/", ":") + ":"
	rest, ok := strings.CutPrefix(name, begin)
	if !ok {
		return []string{fmt.Sprintf("ClusterTrustBundle for signerName %s must be named with prefix %s", signer, begin)}
	}
	return apivalidation.NameIsDNSSubdomain(rest, prefix)
}

// anchors requires certificates of authorities, at least one, each once.
func (c *bundleCheck) anchors(text string) {
	at := field.NewPath("spec", "trustBundle")
	if len(text) > longestBundle {
		c.Add(field.TooLong(at, "", longestBundle))
		return
	}
	said := len(c.Errors())
	entries := map[string][]int{}
	var order []string
	i := 0
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if wrong := notAnchor(block); wrong != "" {
			c.Invalid(at, "<value omitted>", fmt.Sprintf("entry %d %s", i, wrong))
		} else {
			key := string(block.Bytes)
			if !slices.Contains(order, key) {
				order = append(order, key)
			}
			entries[key] = append(entries[key], i)
		}
		i++
	}
	if len(c.Errors()) > said {
		return
	}
	if len(entries) == 0 {
		c.Invalid(at, "<value omitted>", "at least one trust anchor must be provided")
	}
	for _, key := range order {
		if len(entries[key]) > 1 {
			c.Invalid(at, "<value omitted>", fmt.Sprintf("duplicate trust anchor (indices %v)", entries[key]))
		}
	}
}

// notAnchor says why a block is no certificate of an authority, or nothing.
func notAnchor(block *pem.Block) string {
	if block.Type != certificateBlock {
		return "has bad block type: " + block.Type
	}
	if len(block.Headers) > 0 {
		return "has PEM block headers"
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return "does not parse as X.509"
	case !cert.IsCA:
		return "does not have the CA bit set"
	case !cert.BasicConstraintsValid:
		return "has invalid basic constraints"
	}
	return ""
}
