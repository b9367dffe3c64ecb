//go:build !nocluster

package cli

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

func (p *flagParser) labels(flag string, texts []string) map[string]string {
	labels := map[string]string{}
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...)
		if !ok || len(problems) > 0 {
			p.fail(flag, text, "not a label such as tier=edge "+strings.Join(problems, "; "))
		}
		labels[key] = value
	}
	return labels
}

// taints read key=value:effect or key:effect, as kubectl taint does.
func (p *flagParser) taints(flag string, texts []string) []corev1.Taint {
	var taints []corev1.Taint
	for _, text := range texts {
		pair, effect, ok := strings.Cut(text, ":")
		key, value, _ := strings.Cut(pair, "=")
		problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...)
		switch corev1.TaintEffect(effect) {
		case corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute:
		default:
			ok = false
		}
		if !ok || len(problems) > 0 {
			p.fail(flag, text, "not a taint such as gpu=true:NoSchedule "+strings.Join(problems, "; "))
		}
		taints = append(taints, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)})
	}
	return taints
}
