package check

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Longest parts of a signer's name: its path holds a namespace and a name with a dot between them.
const (
	signerDomainLimit = validation.DNS1123SubdomainMaxLength
	signerLimit       = signerDomainLimit + 1 + validation.DNS1123SubdomainMaxLength + validation.DNS1123LabelMaxLength + 1
)

// Signer requires the name of a signer of certificates: "example.com/name".
func (l *List) Signer(path *field.Path, name string) {
	if !l.NonEmpty(path, name) {
		return
	}
	domain, rest, found := strings.Cut(name, "/")
	if !found || strings.Contains(rest, "/") {
		l.Invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")
		return
	}
	if len(domain) > signerDomainLimit {
		l.Add(field.TooLong(path, "", signerDomainLimit))
	}
	labels := strings.Split(domain, ".")
	l.parts(path, domain, labels, validation.IsDNS1123Label)
	if len(labels) < 2 {
		l.Invalid(path, domain, "should be a domain with at least two segments separated by dots")
	}
	l.parts(path, rest, strings.Split(rest, "."), validation.IsDNS1123Subdomain)
	if len(name) > signerLimit {
		l.Add(field.TooLong(path, "", signerLimit))
	}
}

// parts checks the labels of a name up to the first that is wrong.
func (l *List) parts(path *field.Path, whole string, labels []string, check func(string) []string) {
	for _, label := range labels {
		problems := check(label)
		for _, p := range problems {
			l.Invalid(path, whole, fmt.Sprintf("validating label %q: %s", label, p))
		}
		if len(problems) > 0 {
			return
		}
	}
}
