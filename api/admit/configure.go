package admit

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Configure reads a plug-in's configuration (YAML or JSON) into a struct, fields that the struct has not refused. An
// empty text leaves the struct as it is; another apiVersion or kind is refused.
func Configure(text []byte, apiVersion, kind string, into any) error {
	if len(text) == 0 {
		return nil
	}
	var fields map[string]any
	if err := yaml.UnmarshalStrict(text, &fields); err != nil {
		return err
	}
	have := metav1.TypeMeta{}
	if err := yaml.Unmarshal(text, &have); err != nil {
		return err
	}
	if have.APIVersion != apiVersion || have.Kind != kind {
		return fmt.Errorf("it is apiVersion %q, kind %q; it must be apiVersion %q, kind %q", have.APIVersion, have.Kind, apiVersion, kind)
	}
	delete(fields, "apiVersion")
	delete(fields, "kind")
	rest, err := yaml.Marshal(fields)
	if err != nil {
		return err
	}
	return yaml.UnmarshalStrict(rest, into)
}
