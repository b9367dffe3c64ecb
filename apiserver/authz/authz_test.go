package authz

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"sigs.k8s.io/yaml"

	"dhow/internal/logtest"
)

// remoteService allows user ann; its kubeconfig is in the file that it returns.
func remoteService(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct{ Spec struct{ User string } }
		_ = json.NewDecoder(r.Body).Decode(&review)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
			"status": map[string]any{"allowed": review.Spec.User == "ann"}})
	}))
	t.Cleanup(server.Close)
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	path := filepath.Join(t.TempDir(), "webhook.yaml")
	put(t, path, fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: x, clusters: [{name: x, cluster: {server: %q, certificate-authority-data: %s}}],
		users: [{name: x, user: {}}], contexts: [{name: x, context: {cluster: x, user: x}}]}`, server.URL, ca))
	return path
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// configuration asks the webhook about namespace web only, and then the server's own authorizer.
func configuration(kubeconfig, condition string) string {
	text, err := yaml.YAMLToJSON(fmt.Appendf(nil, `{apiVersion: apiserver.config.k8s.io/v1, kind: AuthorizationConfiguration, authorizers: [
		{type: Webhook, name: remote, webhook: {timeout: 30s, subjectAccessReviewVersion: v1, matchConditionSubjectAccessReviewVersion: v1,
			failurePolicy: Deny, authorizedTTL: 1s, unauthorizedTTL: 1s, connectionInfo: {type: KubeConfigFile, kubeConfigFile: %q},
			matchConditions: [{expression: %q}]}},
		{type: RBAC, name: rbac}]}`, kubeconfig, condition))
	if err != nil {
		panic(err)
	}
	return string(text)
}

func asks(a *Authorization, name, namespace string) authorizer.Decision {
	d, _, _ := a.Authorize(context.Background(), authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: name}, Verb: "get", Resource: "pods", Namespace: namespace, ResourceRequest: true})
	return d
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	tick, deadline := time.NewTicker(10*time.Millisecond), time.After(3*time.Minute)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("still not so after three minutes")
		}
	}
}

func TestAConfigurationIsAskedInOrderAndFollowed(t *testing.T) {
	remote, path, log := remoteService(t), filepath.Join(t.TempDir(), "authorization.yaml"), &logtest.Buffer{}
	put(t, path, configuration(remote, "request.resourceAttributes.namespace == 'web'"))
	a, err := New(Config{Options: Options{ConfigFile: path}, Log: slog.New(slog.NewTextHandler(log, nil)),
		Own: map[string]authorizer.Authorizer{RBAC: authorizerfactory.NewAlwaysDenyAuthorizer()}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); a.Run(ctx) }()
	defer func() { stop(); <-ended }()
	if asks(a, "ann", "web") != authorizer.DecisionAllow || asks(a, "ben", "web") == authorizer.DecisionAllow || asks(a, "ann", "other") == authorizer.DecisionAllow {
		t.Error("the webhook is asked about the wrong requests")
	}
	put(t, path, configuration(remote, "request.nonsense"))
	eventually(t, func() bool { return log.Has(path) && log.Has("authorizers[0].matchConditions[0].expression") })
	if asks(a, "ann", "web") != authorizer.DecisionAllow {
		t.Error("a bad file has changed what is in force")
	}
	put(t, path, configuration(remote, "request.resourceAttributes.namespace == 'other'"))
	eventually(t, func() bool { return asks(a, "ann", "other") == authorizer.DecisionAllow })
}

func TestWrongOptionsAreNamed(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	put(t, bad, "kind: Nonsense\n")
	for want, o := range map[string]Options{
		`--authorization-mode "ABAC"`: {Modes: []string{"ABAC"}},
		"given twice":                 {Modes: []string{AlwaysDeny, AlwaysDeny}},
		"need each other":             {Modes: []string{Webhook}},
		"no authorizer of type Node":  {Modes: []string{Node}},
		"cannot be given together":    {Modes: []string{RBAC}, ConfigFile: bad},
		bad:                           {ConfigFile: bad},
	} {
		if _, err := New(Config{Options: o}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}
