package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// trustName is where API servers that users add read whom to believe.
const trustName = "extension-apiserver-authentication"

// trust tells other API servers by which certificates they know the cluster's clients, and this server when it passes
// a request on; and in which headers it then names the user.
func (s *Server) trust(ctx context.Context, client kubernetes.Interface) error {
	if !s.aggregates() || !s.serves("configmaps") || !s.serves("namespaces") {
		return nil
	}
	t := s.authn.Trust()
	want := map[string]string{
		"client-ca-file":                     string(t.ClientCA),
		"requestheader-client-ca-file":       string(t.RequestHeaderCA),
		"requestheader-allowed-names":        list(t.AllowedNames),
		"requestheader-username-headers":     list(t.UsernameHeaders),
		"requestheader-uid-headers":          list(t.UIDHeaders),
		"requestheader-group-headers":        list(t.GroupHeaders),
		"requestheader-extra-headers-prefix": list(t.ExtraPrefixes),
	}
	configMaps := client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	have, err := configMaps.Get(ctx, trustName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = configMaps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: trustName}, Data: want}, metav1.CreateOptions{})
	} else if err == nil && !maps.Equal(have.Data, want) {
		have.Data = want
		_, err = configMaps.Update(ctx, have, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("config map %s: %w", trustName, err)
	}
	return nil
}

// list is JSON, as the other servers read it.
func list(words []string) string {
	text, err := json.Marshal(words)
	if err != nil {
		panic(err) // strings can be written
	}
	return string(text)
}

// followTrust writes the config map anew when an authority's file has changed.
func (s *Server) followTrust(ctx context.Context) {
	changed := make(chan struct{}, 1)
	s.authn.ClientCA().AddListener(listener(changed))
	client, err := s.Client(apiserverUser, mastersGroup)
	if err != nil || s.Ready(ctx) != nil {
		return
	}
	for {
		select {
		case <-changed:
			if err := s.trust(ctx, client); err != nil && ctx.Err() == nil {
				s.config.Log.Error("other API servers are not told of the new authorities", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// listener is told of changes of certificates.
type listener chan struct{}

// Enqueue implements dynamiccertificates.Listener.
func (l listener) Enqueue() {
	select {
	case l <- struct{}{}:
	default:
	}
}
