package dynamicadmission_test

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	reviewv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/admit/admittest"
)

// answer is one webhook's.
type answer = func(*reviewv1.AdmissionRequest) *reviewv1.AdmissionResponse

// hooks is a server of webhooks. It knows those by path that every test has, and those that a test adds.
type hooks struct {
	*httptest.Server

	mu       sync.Mutex
	answers  map[string]answer
	handlers map[string]http.HandlerFunc
	asked    []string // paths, in order
}

func newHooks(t testing.TB) *hooks {
	t.Helper()
	h := &hooks{handlers: map[string]http.HandlerFunc{}, answers: map[string]answer{
		"/allow": func(*reviewv1.AdmissionRequest) *reviewv1.AdmissionResponse {
			return &reviewv1.AdmissionResponse{Allowed: true}
		},
		"/deny": func(*reviewv1.AdmissionRequest) *reviewv1.AdmissionResponse { return &reviewv1.AdmissionResponse{} },
	}}
	h.Server = httptest.NewTLSServer(h)
	t.Cleanup(h.Close)
	return h
}

// ServeHTTP implements http.Handler.
func (h *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	h.mu.Lock()
	if path != "/deny" {
		h.asked = append(h.asked, path)
	}
	handle, answer := h.handlers[path], h.answers[path]
	h.mu.Unlock()
	if handle != nil {
		handle(w, r)
		return
	}
	var review reviewv1.AdmissionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil || answer == nil {
		http.Error(w, "what?", http.StatusNotFound)
		return
	}
	review.Response = answer(review.Request)
	if review.Response.UID == "" {
		review.Response.UID = review.Request.UID
	}
	review.Request = nil
	json.NewEncoder(w).Encode(review)
}

func (h *hooks) answer(path string, a answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers[path] = a
}

func (h *hooks) handle(path string, f http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handlers[path] = f
}

// take returns the paths that have been asked since it was last called.
func (h *hooks) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	asked := slices.Clone(h.asked)
	h.asked = nil
	return strings.Join(asked, " ")
}

func (h *hooks) bundle() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})
}

// patched allows with a JSON patch.
func patched(patch string) *reviewv1.AdmissionResponse {
	kind := reviewv1.PatchTypeJSONPatch
	return &reviewv1.AdmissionResponse{Allowed: true, PatchType: &kind, Patch: []byte(patch)}
}

const calls = `sideEffects: None, admissionReviewVersions: [v1]`

// at is the usual part of a webhook: of its name's first word is its path.
func at(path, more string) string {
	if more == "" {
		more = calls + `, rules: ` + configMaps
	}
	return `{name: ` + path + `.example.com, clientConfig: {url: "HOOKS/` + path + `"}, ` + more + `}`
}

// webhooks reads webhooks of one case, whose addresses begin with HOOKS.
func webhooks[T any](t *testing.T, h *hooks, of string, texts []string, client func(*T) (*admissionv1.WebhookClientConfig, **metav1.LabelSelector)) []T {
	t.Helper()
	text := strings.ReplaceAll(strings.Join(texts, ", "), "HOOKS", h.URL)
	all := *admittest.YAML[[]T](t, "["+text+"]")
	for i := range all {
		config, selector := client(&all[i])
		config.CABundle = h.bundle()
		if *selector == nil && of != "" {
			*selector = ofCase(of)
		}
	}
	return all
}

// mutating registers webhooks of one case.
func (w *world) mutating(t *testing.T, name, of string, texts ...string) {
	t.Helper()
	w.addMutating(t, name, of, texts...)
	mark := w.mark()
	w.addMutating(t, mark, "", at("deny", calls+`, rules: `+configMaps+`, objectSelector: {matchLabels: {mark: `+mark+`}}`))
	w.awaitDenial(t, mark)
}

func (w *world) addMutating(t *testing.T, name, of string, texts ...string) {
	t.Helper()
	c := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}}
	c.Webhooks = webhooks(t, w.hooks, of, texts, func(m *admissionv1.MutatingWebhook) (*admissionv1.WebhookClientConfig, **metav1.LabelSelector) {
		return &m.ClientConfig, &m.NamespaceSelector
	})
	if _, err := w.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// validating registers webhooks of one case.
func (w *world) validating(t *testing.T, name string, texts ...string) {
	t.Helper()
	w.addValidating(t, name, name, texts...)
	mark := w.mark()
	w.addValidating(t, mark, "", at("deny", calls+`, rules: `+configMaps+`, objectSelector: {matchLabels: {mark: `+mark+`}}`))
	w.awaitDenial(t, mark)
}

func (w *world) addValidating(t *testing.T, name, of string, texts ...string) {
	t.Helper()
	c := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}}
	c.Webhooks = webhooks(t, w.hooks, of, texts, func(v *admissionv1.ValidatingWebhook) (*admissionv1.WebhookClientConfig, **metav1.LabelSelector) {
		return &v.ClientConfig, &v.NamespaceSelector
	})
	if _, err := w.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
