package apiserver

import (
	"context"
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
	want := map[string]string{
		"client-ca-file":                     string(s.config.Identity.CA.PEM),
		"requestheader-client-ca-file":       string(s.config.Identity.FrontProxyCA.PEM),
		"requestheader-allowed-names":        `["front-proxy-client"]`,
		"requestheader-username-headers":     `["X-Remote-User"]`,
		"requestheader-uid-headers":          `["X-Remote-Uid"]`,
		"requestheader-group-headers":        `["X-Remote-Group"]`,
		"requestheader-extra-headers-prefix": `["X-Remote-Extra-"]`,
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
