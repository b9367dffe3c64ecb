package configmap

import (
	"context"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	"k8s.io/cluster-bootstrap/token/jws"
	bootstraputil "k8s.io/cluster-bootstrap/token/util"
	bootstrapsecrets "k8s.io/cluster-bootstrap/util/secrets"

	"dhow/controller"
)

// BootstrapSigner keeps in kube-public/cluster-info a signature of its kubeconfig by each bootstrap token that is for
// signing. Its only key is that ConfigMap.
func BootstrapSigner() controller.Controller {
	return controller.Controller{
		Name: "bootstrap-signer",
		Reads: []controller.Read{
			{Object: &corev1.ConfigMap{}, Keys: ifClusterInfo},
			{Object: &corev1.Secret{}, Keys: ifBootstrapToken},
		},
		Writes: []controller.Write{
			{Resources: []string{"configmaps"}, Verbs: []string{"update"}, Names: []string{bootstrapapi.ConfigMapClusterInfo}},
		},
		Workers: 1,
		New:     func(env controller.Env) controller.Reconciler { return signer{env} },
	}
}

var clusterInfo = types.NamespacedName{Namespace: metav1.NamespacePublic, Name: bootstrapapi.ConfigMapClusterInfo}

func ifClusterInfo(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	if cm := obj.(*corev1.ConfigMap); cm.Namespace != clusterInfo.Namespace || cm.Name != clusterInfo.Name {
		return nil
	}
	return []types.NamespacedName{clusterInfo}
}

func ifBootstrapToken(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	if s := obj.(*corev1.Secret); s.Namespace != metav1.NamespaceSystem || s.Type != bootstrapapi.SecretTypeBootstrapToken {
		return nil
	}
	return []types.NamespacedName{clusterInfo}
}

type signer struct{ env controller.Env }

// Reconcile implements controller.Reconciler.
func (s signer) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	core := s.env.Informers.Core().V1()
	have, err := core.ConfigMaps().Lister().ConfigMaps(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	secrets, err := core.Secrets().Lister().Secrets(metav1.NamespaceSystem).List(labels.Everything())
	if err != nil {
		return controller.Result{}, err
	}
	tokens := map[string]string{}
	for _, secret := range secrets {
		if id, key, ok := s.signs(secret); ok {
			tokens[id] = key
		}
	}
	want, err := planSignatures(have, tokens)
	if err != nil || want == nil {
		return controller.Result{}, err
	}
	_, err = s.env.Client.CoreV1().ConfigMaps(key.Namespace).Update(ctx, want, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	return controller.Result{}, err
}

// signs: the secret is a whole token, for signing, whose time is not over.
func (s signer) signs(secret *corev1.Secret) (id, key string, ok bool) {
	have := func(field string) string { return bootstrapsecrets.GetData(secret, field) }
	id, key = have(bootstrapapi.BootstrapTokenIDKey), have(bootstrapapi.BootstrapTokenSecretKey)
	return id, key, secret.Type == bootstrapapi.SecretTypeBootstrapToken && secret.DeletionTimestamp == nil &&
		id != "" && key != "" && secret.Name == bootstraputil.BootstrapTokenSecretName(id) &&
		have(bootstrapapi.BootstrapTokenUsageSigningKey) == "true" && !bootstrapsecrets.HasExpired(secret, s.env.Now())
}

// planSignatures is the ConfigMap with the signatures of tokens and no others; nil if it has them, or nothing to sign.
func planSignatures(have *corev1.ConfigMap, tokens map[string]string) (*corev1.ConfigMap, error) {
	content, ok := have.Data[bootstrapapi.KubeConfigKey]
	if !ok {
		return nil, nil
	}
	want := maps.Clone(have.Data)
	maps.DeleteFunc(want, func(key, _ string) bool { return strings.HasPrefix(key, bootstrapapi.JWSSignatureKeyPrefix) })
	for id, key := range tokens {
		signature, err := jws.ComputeDetachedSignature(content, id, key)
		if err != nil {
			return nil, fmt.Errorf("sign by token %s: %w", id, err)
		}
		want[bootstrapapi.JWSSignatureKeyPrefix+id] = signature
	}
	if maps.Equal(want, have.Data) {
		return nil, nil
	}
	next := have.DeepCopy()
	next.Data = want
	return next, nil
}
