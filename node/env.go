package node

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// environment resolves a container's variables in the order in which they are written: services', envFrom, env.
// Each may refer to earlier ones by $(NAME).
func (n *Node) environment(pod *corev1.Pod, c *corev1.Container, ips []string) ([]*cri.KeyValue, error) {
	values := map[string]string{}
	var order []string
	set := func(name, value string) {
		if _, known := values[name]; !known {
			order = append(order, name)
		}
		values[name] = value
	}
	for _, kv := range n.serviceVariables(pod) {
		set(kv[0], kv[1])
	}
	if err := n.envFrom(pod, c, set); err != nil {
		return nil, err
	}
	for _, v := range c.Env {
		value := expand(v.Value, values)
		if v.ValueFrom != nil {
			from, found, err := n.valueFrom(pod, c, v.ValueFrom, ips)
			if err != nil {
				return nil, err
			}
			if !found {
				continue
			}
			value = from
		}
		set(v.Name, value)
	}
	env := make([]*cri.KeyValue, 0, len(order))
	for _, name := range order {
		env = append(env, &cri.KeyValue{Key: name, Value: []byte(values[name])})
	}
	return env, nil
}

func asMap(env []*cri.KeyValue) map[string]string {
	values := map[string]string{}
	for _, kv := range env {
		values[kv.Key] = string(kv.Value)
	}
	return values
}

// expand replaces $(NAME) by a variable's value. $$(NAME) stands for $(NAME), and an unknown name stays as it is.
func expand(text string, values map[string]string) string {
	var out strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 >= len(text) {
			out.WriteString(text)
			return out.String()
		}
		out.WriteString(text[:i])
		text = text[i:]
		switch end := strings.IndexByte(text, ')'); {
		case text[1] == '$':
			out.WriteByte('$')
			text = text[2:]
		case text[1] == '(' && end > 0:
			if value, known := values[text[2:end]]; known {
				out.WriteString(value)
			} else {
				out.WriteString(text[:end+1])
			}
			text = text[end+1:]
		default:
			out.WriteByte('$')
			text = text[1:]
		}
	}
}

func expandAll(texts []string, values map[string]string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = expand(text, values)
	}
	return out
}

// configError is a pod's mistake that a change elsewhere may mend: CreateContainerConfigError.
type configError struct{ error }

func (e configError) Unwrap() error { return e.error }

func (n *Node) envFrom(pod *corev1.Pod, c *corev1.Container, set func(name, value string)) error {
	for _, from := range c.EnvFrom {
		var data map[string]string
		var err error
		switch {
		case from.ConfigMapRef != nil:
			data, err = n.configMapData(pod.Namespace, from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
		case from.SecretRef != nil:
			data, err = n.secretData(pod.Namespace, from.SecretRef.Name, from.SecretRef.Optional)
		}
		if err != nil {
			return err
		}
		for _, key := range sortedKeys(data) {
			set(from.Prefix+key, data[key])
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func isTrue(b *bool) bool { return b != nil && *b }

func (n *Node) configMapData(namespace, name string, optional *bool) (map[string]string, error) {
	cm, err := n.configMaps.ConfigMaps(namespace).Get(name)
	if err != nil {
		if isTrue(optional) {
			return nil, nil
		}
		return nil, configError{fmt.Errorf("configmap %q not found", name)}
	}
	return cm.Data, nil
}

func (n *Node) secretData(namespace, name string, optional *bool) (map[string]string, error) {
	secret, err := n.secrets.Secrets(namespace).Get(name)
	if err != nil {
		if isTrue(optional) {
			return nil, nil
		}
		return nil, configError{fmt.Errorf("secret %q not found", name)}
	}
	data := map[string]string{}
	for key, value := range secret.Data {
		data[key] = string(value)
	}
	return data, nil
}

// valueFrom is a variable's value from elsewhere; found is false for what is optional and not there.
func (n *Node) valueFrom(pod *corev1.Pod, c *corev1.Container, from *corev1.EnvVarSource, ips []string) (value string, found bool, err error) {
	switch {
	case from.FieldRef != nil:
		value, err = n.fieldValue(pod, from.FieldRef.FieldPath, ips)
		return value, true, err
	case from.ResourceFieldRef != nil:
		value, err = n.resourceValue(pod, c, from.ResourceFieldRef)
		return value, true, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		data, err := n.configMapData(pod.Namespace, ref.Name, ref.Optional)
		return keyOf(data, ref.Key, ref.Optional, err, "configmap", pod.Namespace, ref.Name)
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		data, err := n.secretData(pod.Namespace, ref.Name, ref.Optional)
		return keyOf(data, ref.Key, ref.Optional, err, "secret", pod.Namespace, ref.Name)
	}
	return "", false, nil
}

func keyOf(data map[string]string, key string, optional *bool, err error, kind, namespace, name string) (string, bool, error) {
	if err != nil {
		return "", false, err
	}
	value, found := data[key]
	if !found && !isTrue(optional) {
		words := map[string]string{"configmap": "ConfigMap", "secret": "Secret"}
		return "", false, configError{fmt.Errorf("couldn't find key %s in %s %s/%s", key, words[kind], namespace, name)}
	}
	return value, found, nil
}

// serviceVariables are the variables by which containers found Services before there was DNS: NAME_SERVICE_HOST,
// NAME_SERVICE_PORT and Docker's links, of the pod's own namespace, and of the API server's Service always.
func (n *Node) serviceVariables(pod *corev1.Pod) [][2]string {
	all, err := n.services.List(everything)
	if err != nil {
		return nil
	}
	enabled := pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks
	var vars [][2]string
	slices.SortFunc(all, func(a, b *corev1.Service) int { return strings.Compare(a.Name, b.Name) })
	for _, s := range all {
		master := s.Namespace == corev1.NamespaceDefault && s.Name == "kubernetes"
		if !(enabled && s.Namespace == pod.Namespace || master) || s.Spec.ClusterIP == "" || s.Spec.ClusterIP == corev1.ClusterIPNone {
			continue
		}
		vars = append(vars, linksOf(s)...)
	}
	return vars
}

func linksOf(s *corev1.Service) [][2]string {
	name := strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
	if len(s.Spec.Ports) == 0 {
		return nil
	}
	host, first := s.Spec.ClusterIP, s.Spec.Ports[0]
	vars := [][2]string{
		{name + "_SERVICE_HOST", host},
		{name + "_SERVICE_PORT", fmt.Sprint(first.Port)},
	}
	for _, p := range s.Spec.Ports {
		if p.Name != "" {
			vars = append(vars, [2]string{name + "_SERVICE_PORT_" + strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_")), fmt.Sprint(p.Port)})
		}
	}
	for i, p := range s.Spec.Ports {
		protocol := strings.ToLower(string(p.Protocol))
		url := fmt.Sprintf("%s://%s:%d", protocol, host, p.Port)
		if i == 0 {
			vars = append(vars, [2]string{name + "_PORT", url})
		}
		prefix := fmt.Sprintf("%s_PORT_%d_%s", name, p.Port, strings.ToUpper(protocol))
		vars = append(vars, [2]string{prefix, url}, [2]string{prefix + "_PROTO", protocol}, [2]string{prefix + "_PORT", fmt.Sprint(p.Port)}, [2]string{prefix + "_ADDR", host})
	}
	return vars
}
