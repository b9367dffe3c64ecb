package dynamicadmission_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission/plugin/policy/generic"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	restclient "k8s.io/client-go/rest"

	"dhow/api/admit/admittest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/apiserver/audit"
	"dhow/kinds/admissionregistration"
	"dhow/kinds/configmap"
	"dhow/kinds/deployment"
	"dhow/kinds/horizontalpodautoscaler"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func kinds() []apiserver.Kind {
	return append([]apiserver.Kind{
		namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), configmap.Kind(), pod.Kind(pod.Config{}), deployment.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), horizontalpodautoscaler.Kind(),
	}, admissionregistration.Kinds()...)
}

const auditPolicy = `{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
	{"level": "Metadata", "verbs": ["create"], "resources": [{"group": "", "resources": ["configmaps"]}]}, {"level": "None"}]}`

// world is a server with webhooks, an audit log and one namespace a case. Webhooks and bindings are of one case only.
type world struct {
	*apiservertest.Cluster
	hooks *hooks
	log   string
	// client is the administrator's; what it is warned of is kept.
	client   kubernetes.Interface
	warnings warnings
	// configMaps are what the server's own parts have seen.
	configMaps corelisters.ConfigMapLister
	markers    int
}

// start gives a new world. Policies follow their objects at once, not after upstream's second.
func start(t testing.TB) *world {
	t.Helper()
	t.Cleanup(generic.SetPolicyRefreshIntervalForTests(5 * time.Millisecond))
	dir := t.TempDir()
	w := &world{hooks: newHooks(t), log: filepath.Join(dir, "audit.log")}
	policy := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	recorded, flags := audit.New(), pflag.NewFlagSet("test", pflag.ContinueOnError)
	recorded.AddFlags(flags)
	if err := flags.Parse([]string{"--audit-policy-file=" + policy, "--audit-log-path=" + w.log}); err != nil {
		t.Fatal(err)
	}
	w.Cluster = apiservertest.Start(t, kinds(), func(c *apiserver.Config) {
		c.Audit = recorded
		c.Authorizer = func(informers.SharedInformerFactory) (authorizer.Authorizer, error) {
			return authorizer.AuthorizerFunc(mayMaps), nil
		}
	})
	config := restclient.CopyConfig(w.Server.ClientConfig("system:admin", "system:masters"))
	config.WarningHandler = &w.warnings
	w.client = kubernetes.NewForConfigOrDie(config)
	w.configMaps = w.Informers.Core().V1().ConfigMaps().Lister()
	w.Informers.Start(w.Context.Done())
	return w
}

// mayMaps: those who are no administrators may do everything to ConfigMaps, and nothing else.
func mayMaps(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if a.GetResource() == "configmaps" {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// warnings is a restclient.WarningHandler that keeps what it hears.
type warnings struct {
	mu  sync.Mutex
	all []string
}

// HandleWarningHeader implements restclient.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}

// take returns what has been heard since it was last asked.
func (w *warnings) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := strings.Join(w.all, "; ")
	w.all = nil
	return all
}

// space makes a case's namespace.
func (w *world) space(t *testing.T, name string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "case-" + name, Labels: map[string]string{"case": name}}}
	if _, err := w.Client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

func ofCase(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"case": name}}
}

// create makes a ConfigMap from YAML; what follows "dry: " is not kept.
func (w *world) create(t *testing.T, ns, text string) (*corev1.ConfigMap, error) {
	t.Helper()
	options := metav1.CreateOptions{}
	text, dry := strings.CutPrefix(text, "dry: ")
	if dry {
		options.DryRun = []string{metav1.DryRunAll}
	}
	return w.client.CoreV1().ConfigMaps(ns).Create(t.Context(), admittest.YAML[corev1.ConfigMap](t, text), options)
}

// audited is what the audit log says of the creation of a ConfigMap.
func (w *world) audited(t *testing.T, ns, name string) map[string]string {
	t.Helper()
	var found map[string]string
	apiservertest.Eventually(t, func() bool {
		data, err := os.ReadFile(w.log)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			var e auditv1.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				return false // it is still being written
			}
			if r := e.ObjectRef; e.Verb == "create" && r != nil && r.Namespace == ns && r.Name == name {
				found = e.Annotations
				return true
			}
		}
		return false
	})
	return found
}

// awaitDenial polls until the server refuses what is marked: what was registered before the mark is then in force.
func (w *world) awaitDenial(t *testing.T, mark string) {
	t.Helper()
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: mark, Labels: map[string]string{"mark": mark}}}
	apiservertest.Eventually(t, func() bool {
		_, err := w.Client.CoreV1().ConfigMaps("default").Create(t.Context(), m, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil
	})
}

func (w *world) mark() string {
	w.markers++
	return fmt.Sprintf("mark-%d", w.markers)
}

const configMaps = `[{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]`

// policy registers a ValidatingAdmissionPolicy and its bindings, for one case.
func (w *world) policy(t *testing.T, name, spec string, bindings ...string) {
	t.Helper()
	w.addPolicy(t, name, spec, ofCase(name), bindings...)
	mark := w.mark()
	w.addPolicy(t, mark, `{validations: [{expression: "false"}]}`, nil, `{validationActions: [Deny], matchResources: {objectSelector: {matchLabels: {mark: `+mark+`}}}}`)
	w.awaitDenial(t, mark)
}

func (w *world) addPolicy(t *testing.T, name, spec string, in *metav1.LabelSelector, bindings ...string) {
	t.Helper()
	registered := w.Client.AdmissionregistrationV1()
	p := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: *admittest.YAML[admissionv1.ValidatingAdmissionPolicySpec](t, spec)}
	if p.Spec.MatchConstraints == nil {
		p.Spec.MatchConstraints = &admissionv1.MatchResources{ResourceRules: *admittest.YAML[[]admissionv1.NamedRuleWithOperations](t, configMaps)}
	}
	_, failed := registered.ValidatingAdmissionPolicies().Create(t.Context(), p, metav1.CreateOptions{})
	for i, text := range bindings {
		b := &admissionv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", name, i)}, Spec: *admittest.YAML[admissionv1.ValidatingAdmissionPolicyBindingSpec](t, text),
		}
		b.Spec.PolicyName = name
		if b.Spec.MatchResources == nil {
			b.Spec.MatchResources = &admissionv1.MatchResources{NamespaceSelector: in}
		}
		_, err := registered.ValidatingAdmissionPolicyBindings().Create(t.Context(), b, metav1.CreateOptions{})
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		t.Fatal(failed)
	}
}
