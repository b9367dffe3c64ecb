package volumespec

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// Bounds of the parameters that a class hands to its driver.
const (
	mostParameters = 512
	parametersSize = 256 << 10
)

// CheckProvisioner requires the name of a driver, with or without a domain.
func CheckProvisioner(l *check.List, at *field.Path, name string) {
	if l.NonEmpty(at, name) {
		l.Qualified(at, strings.ToLower(name))
	}
}

// CheckParameters bounds a class' parameters; needed says that there must be some.
func CheckParameters(l *check.List, at *field.Path, parameters map[string]string, needed bool) {
	if len(parameters) > mostParameters {
		l.Add(field.TooLong(at, "", mostParameters))
		return
	}
	size := 0
	for key, value := range parameters {
		if key == "" {
			l.Invalid(at, key, "field can not be empty.")
		}
		size += len(key) + len(value)
	}
	if size > parametersSize {
		l.Add(field.TooLong(at, "", parametersSize))
	}
	if needed && len(parameters) == 0 {
		l.Required(at, "must contain at least one key/value pair")
	}
}
