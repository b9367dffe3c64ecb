package e2e

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// silentWebhook accepts requests and never answers.
func silentWebhook(t *testing.T) (url string, authority []byte) {
	t.Helper()
	stop := make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() {
		close(stop)
		server.Close()
	})
	return server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func TestAWebhookThatNeverAnswersEndsInTime(t *testing.T) {
	n := startNode(t)
	url, authority := silentWebhook(t)
	policy, none, second := admissionv1.Fail, admissionv1.SideEffectClassNone, int32(1)
	webhooks := n.client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	config, err := webhooks.Create(t.Context(), &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "silent"},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "silent.example.test", FailurePolicy: &policy, SideEffects: &none, TimeoutSeconds: &second,
			ClientConfig:            admissionv1.WebhookClientConfig{URL: &url, CABundle: authority},
			AdmissionReviewVersions: []string{"v1"},
			ObjectSelector:          &metav1.LabelSelector{MatchLabels: map[string]string{"ask": "silent"}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	create := func(name string) error {
		_, err := n.client.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{GenerateName: name, Labels: map[string]string{"ask": "silent"}},
		}, metav1.CreateOptions{})
		return err
	}
	n.eventually("the webhook to be asked", time.Minute, func() error {
		if err = create("refused-"); err == nil {
			return errorf("it was not")
		}
		return nil
	})
	const words = `failed calling webhook "silent.example.test": failed to call webhook: Post "`
	if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "?timeout=1s") || !strings.Contains(err.Error(), "context deadline exceeded") {
		t.Errorf("refused with %v\nwant an internal error with %q", err, words)
	}

	*config.Webhooks[0].FailurePolicy = admissionv1.Ignore
	if _, err := webhooks.Update(t.Context(), config, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	n.eventually("the webhook to be ignored", time.Minute, func() error { return create("let-through-") })
}
