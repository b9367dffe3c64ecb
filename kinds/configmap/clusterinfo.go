package configmap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
)

// published is the hash of the kubeconfig that a server wrote: another one is an administrator's, and stays.
const published = "dhow/published"

// PublishClusterInfo tells everybody in kube-public/cluster-info where the API server is and by which authority (PEM) it
// is known. BootstrapSigner signs it, so that who has a token can believe it.
func PublishClusterInfo(ctx context.Context, client kubernetes.Interface, server string, ca []byte) error {
	text, err := clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"": {Server: server, CertificateAuthorityData: ca}},
	})
	if err != nil {
		return err
	}
	configMaps := client.CoreV1().ConfigMaps(metav1.NamespacePublic)
	have, err := configMaps.Get(ctx, bootstrapapi.ConfigMapClusterInfo, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	if missing {
		have, err = nil, nil
	}
	want := planClusterInfo(have, string(text))
	switch {
	case err != nil || want == nil:
	case missing:
		_, err = configMaps.Create(ctx, want, metav1.CreateOptions{})
	default:
		_, err = configMaps.Update(ctx, want, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("config map %s: %w", bootstrapapi.ConfigMapClusterInfo, err)
	}
	return nil
}

// planClusterInfo is the ConfigMap as it should be; nil if it is. have is nil when there is none.
func planClusterInfo(have *corev1.ConfigMap, kubeconfig string) *corev1.ConfigMap {
	next := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: bootstrapapi.ConfigMapClusterInfo}}
	if have != nil {
		now := have.Data[bootstrapapi.KubeConfigKey]
		if now == kubeconfig || now != "" && have.Annotations[published] != hashOf(now) {
			return nil
		}
		next = have.DeepCopy()
	}
	if next.Data == nil {
		next.Data = map[string]string{}
	}
	next.Data[bootstrapapi.KubeConfigKey] = kubeconfig
	metav1.SetMetaDataAnnotation(&next.ObjectMeta, published, hashOf(kubeconfig))
	return next
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
