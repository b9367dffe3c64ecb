package apiserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/apiserver/audit"
)

const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [system:apiserver]
- level: Metadata
  resources: [{group: "", resources: [secrets]}]
- level: RequestResponse
  resources: [{group: "", resources: [configmaps]}]
- level: None
`

// written puts text into a file of the test's own.
func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// audited is what these flags configure.
func audited(t *testing.T, flags ...string) *audit.Config {
	t.Helper()
	c, set := audit.New(), pflag.NewFlagSet("test", pflag.ContinueOnError)
	c.AddFlags(set)
	if err := set.Parse(flags); err != nil {
		t.Fatal(err)
	}
	return c
}

// auditEvents are what the whole lines of a log say: the server may be writing the next.
func auditEvents(t *testing.T, path string) []auditv1.Event {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var events []auditv1.Event
	for line := range strings.Lines(string(data)) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var e auditv1.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		events = append(events, e)
	}
	return events
}

func TestTheAuditLogRecordsWhatThePolicyWants(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "audit.log")
	c := apiservertest.Start(t, bare(), func(config *apiserver.Config) {
		config.Audit = audited(t, "--audit-policy-file="+written(t, "policy.yaml", auditPolicy), "--audit-log-path="+path)
	})
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Data: map[string][]byte{"k": []byte("hidden")}}
	if _, err := c.Client.CoreV1().Secrets("default").Create(c.Context, secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Client.CoreV1().ConfigMaps("default").Create(c.Context, configMap("c"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Client.CoreV1().Pods("default").List(c.Context, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	var events []auditv1.Event
	apiservertest.Eventually(t, func() bool { events = auditEvents(t, path); return len(events) >= 2 })
	var seen []string
	for _, e := range events {
		seen = append(seen, fmt.Sprintf("%s %s %s %s %d object=%v", e.User.Username, e.Verb, e.ObjectRef.Resource, e.Level, e.ResponseStatus.Code, e.RequestObject != nil))
	}
	want := []string{
		"system:admin create secrets Metadata 201 object=false",
		"system:admin create configmaps RequestResponse 201 object=true",
	}
	if strings.Join(seen, "\n") != strings.Join(want, "\n") {
		t.Errorf("recorded:\n%s\nwant:\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the log's mode is %v, %v", info.Mode(), err)
	}
}

func TestAFullAuditLogIsReplacedAndOldOnesAreKept(t *testing.T) {
	dir := t.TempDir()
	c := apiservertest.Start(t, bare(), func(config *apiserver.Config) {
		config.Audit = audited(t, "--audit-policy-file="+written(t, "policy.yaml", auditPolicy), "--audit-log-path="+filepath.Join(dir, "audit.log"),
			"--audit-log-maxsize=1", "--audit-log-maxbackup=5")
	})
	big := configMap("big")
	big.Data["a"] = strings.Repeat("x", 200_000)
	for i := range 6 {
		big.Name = fmt.Sprintf("big-%d", i)
		if _, err := c.Client.CoreV1().ConfigMaps("default").Create(c.Context, big, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	logs, err := filepath.Glob(filepath.Join(dir, "audit*.log"))
	if err != nil || len(logs) < 2 {
		t.Fatalf("2.4 MB were recorded in %v, %v", logs, err)
	}
	total := 0
	for _, path := range logs {
		total += len(auditEvents(t, path))
	}
	if total != 6 {
		t.Errorf("%d records in %v", total, logs)
	}
}

func TestAWebhookIsToldOfAuditedRequests(t *testing.T) {
	told := make(chan auditv1.Event, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var list auditv1.EventList
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
			t.Error(err)
		}
		for _, e := range list.Items {
			told <- e
		}
	}))
	defer hook.Close()
	kubeconfig := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"contexts": [{"name": "c", "context": {"cluster": "hook"}}], "clusters": [{"name": "hook", "cluster": {"server": %q}}]}`, hook.URL)
	c := apiservertest.Start(t, bare(), func(config *apiserver.Config) {
		config.Audit = audited(t, "--audit-policy-file="+written(t, "policy.yaml", auditPolicy),
			"--audit-webhook-config-file="+written(t, "hook.json", kubeconfig), "--audit-webhook-mode=blocking")
	})
	if _, err := c.Client.CoreV1().ConfigMaps("default").Create(c.Context, configMap("c"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if e := <-told; e.Verb != "create" || e.ObjectRef.Name != "c" || e.Stage != auditv1.StageResponseComplete {
		t.Errorf("the webhook was told of %s %v at %s", e.Verb, e.ObjectRef, e.Stage)
	}
}

func TestAnAuditWebhookThatFailsStrictlyRefusesRequests(t *testing.T) {
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }))
	defer hook.Close()
	kubeconfig := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"contexts": [{"name": "c", "context": {"cluster": "hook"}}], "clusters": [{"name": "hook", "cluster": {"server": %q}}]}`, hook.URL)
	policy := strings.Replace(auditPolicy, "omitStages: [RequestReceived]\n", "", 1)
	c := apiservertest.Start(t, bare(), func(config *apiserver.Config) {
		config.Audit = audited(t, "--audit-policy-file="+written(t, "policy.yaml", policy),
			"--audit-webhook-config-file="+written(t, "hook.json", kubeconfig), "--audit-webhook-mode=blocking-strict", "--audit-webhook-initial-backoff=1ms")
	})
	if _, err := c.Client.CoreV1().ConfigMaps("default").Create(c.Context, configMap("c"), metav1.CreateOptions{}); err == nil {
		t.Error("a request that nobody could record was answered")
	}
	if _, err := c.Client.CoreV1().Pods("default").List(c.Context, metav1.ListOptions{}); err != nil {
		t.Errorf("a request that need not be recorded: %v", err)
	}
}

func TestWhatIsWrongWithAnAuditPolicyIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"rules: [{level: Metadata}]":                                                      "Kind",
		"apiVersion: audit.k8s.io/v1\nkind: Policy\n":                                     "0 rules",
		"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Everything}]":         `rules[0].level: Unsupported value: "Everything"`,
		"apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: Metadata}]":      "v1beta1",
		"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata, users: 7}]": "users",
		"{": "yaml",
	} {
		err := audited(t, "--audit-policy-file="+written(t, "policy.yaml", text)).Validate()
		if err == nil || !strings.Contains(err.Error(), "policy.yaml") || !strings.Contains(err.Error(), want) {
			t.Errorf("of %q it says %v", text, err)
		}
	}
	err := audited(t, "--audit-policy-file=/nowhere/policy.yaml", "--audit-webhook-config-file=/nowhere/hook.yaml").Validate()
	if err == nil || !strings.Contains(err.Error(), "/nowhere/policy.yaml") || !strings.Contains(err.Error(), "/nowhere/hook.yaml") {
		t.Errorf("of missing files it says %v", err)
	}
}

// asker is admission that asks the server itself.
type asker struct {
	*admission.Handler
	client kubernetes.Interface
}

// Validate implements admission.ValidationInterface.
func (a asker) Validate(ctx context.Context, of admission.Attributes, _ admission.ObjectInterfaces) error {
	if of.GetResource().Resource != "configmaps" {
		return nil
	}
	_, err := a.client.CoreV1().Namespaces().Get(ctx, of.GetNamespace(), metav1.GetOptions{})
	return err
}

func TestRequestsThatAreMadeForAnotherAreAuditedByThemselves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	c := apiservertest.Start(t, bare(), func(config *apiserver.Config) {
		config.Audit = audited(t, "--audit-policy-file="+written(t, "policy.yaml", strings.Replace(auditPolicy, "- level: None\n  users: [system:apiserver]\n", "", 1)+
			"  resources: [{group: \"\", resources: [events]}]\n- level: Metadata\n  resources: [{group: \"\", resources: [namespaces]}]\n"), "--audit-log-path="+path)
		config.Admission = func(client kubernetes.Interface, _ informers.SharedInformerFactory) ([]admission.Interface, error) {
			return []admission.Interface{asker{admission.NewHandler(admission.Create), client}}, nil
		}
	})
	if _, err := c.Client.CoreV1().ConfigMaps("default").Create(c.Context, configMap("c"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	recorded := map[string]bool{} // the server's own other requests are there, too
	for _, e := range auditEvents(t, path) {
		recorded[e.User.Username+" "+e.Verb+" "+e.ObjectRef.Resource+" "+e.ObjectRef.Name] = true
	}
	if !recorded["system:admin create configmaps c"] || !recorded["system:apiserver get namespaces default"] {
		t.Errorf("recorded %v", recorded)
	}
}
