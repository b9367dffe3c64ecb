package dynamicadmission_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	reviewv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// badAnswers are what webhooks should not say, and what clients are told of it.
var badAnswers = map[string]struct {
	handle http.HandlerFunc
	answer answer
	told   string
}{
	"silent": {handle: func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // before that, nobody sees the caller hang up
		<-r.Context().Done()
	}, told: "context deadline exceeded"},
	"broken": {handle: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
		told: `an error on the server ("no") has prevented the request from succeeding`},
	"garbage": {handle: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "nonsense") }, told: "couldn't get version/kind; json parse error"},
	"nothing": {handle: func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}`)
	}, told: "webhook response was absent"},
	"other": {answer: func(*reviewv1.AdmissionRequest) *reviewv1.AdmissionResponse {
		return &reviewv1.AdmissionResponse{UID: "other", Allowed: true}
	}, told: `got "other"`},
	"hangup": {handle: func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // what has not been read would make the end a reset
		panic(http.ErrAbortHandler)
	}, told: "EOF"},
}

// A webhook that fails refuses requests or lets them pass, as its failurePolicy says, and no later than it says.
func TestWebhooksThatFail(t *testing.T) {
	w := start(t)
	for path, bad := range badAnswers {
		if bad.handle != nil {
			w.hooks.handle("/"+path, bad.handle)
		} else {
			w.hooks.answer("/"+path, bad.answer)
		}
		for _, policy := range []string{"Fail", "Ignore"} {
			of := strings.ToLower(path + "-" + policy)
			timeout := "30" // a busy machine is slow
			if path == "silent" {
				timeout = "1"
			}
			hook := at(path, calls+`, rules: `+configMaps+`, timeoutSeconds: `+timeout+`, failurePolicy: `+policy)
			w.addMutating(t, of, "m-"+of, hook)
			w.addValidating(t, of, "v-"+of, hook)
			w.space(t, "m-"+of)
			w.space(t, "v-"+of)
		}
	}
	w.mutating(t, "last", "last", at("allow", ""))
	w.validating(t, "last", at("allow", ""))
	for path, bad := range badAnswers {
		for _, of := range []string{"m-" + path, "v-" + path} {
			t.Run(of, func(t *testing.T) {
				t.Parallel()
				begun := time.Now()
				_, err := w.create(t, "case-"+of+"-fail", `{metadata: {name: a}}`)
				want := fmt.Sprintf("failed calling webhook %q: ", path+".example.com")
				if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), bad.told) {
					t.Errorf("got  %v\nwant %s…%s", err, want, bad.told)
				}
				if _, err := w.create(t, "case-"+of+"-ignore", `{metadata: {name: a}}`); err != nil {
					t.Errorf("refused: %v", err)
				}
				if took := time.Since(begun); took >= 2*10*time.Second { // without timeoutSeconds
					t.Errorf("two seconds became %v", took)
				}
			})
		}
	}
}

func TestPatchesThatDoNotFitAreRefused(t *testing.T) {
	w := start(t)
	for name, test := range map[string]struct{ patch, told string }{
		"missing": {`[{"op": "remove", "path": "/data/none"}]`, `doc is missing path: "/data/none": missing value`},
		"garbage": {`[{"op"`, "unexpected end of JSON input"},
		"type":    {`[{"op": "add", "path": "/data", "value": 7}]`, "cannot unmarshal number into Go struct field ConfigMap.data"},
		"kind":    {`[{"op": "replace", "path": "/kind", "value": "Secret"}]`, "converting (v1.Secret) to (v1.ConfigMap): unknown conversion"},
		"name":    {`[{"op": "replace", "path": "/metadata/name", "value": "Bad Name"}]`, "metadata.name: Invalid value"},
	} {
		t.Run(name, func(t *testing.T) {
			w.hooks.answer("/"+name, func(*reviewv1.AdmissionRequest) *reviewv1.AdmissionResponse { return patched(test.patch) })
			w.mutating(t, name, name, at(name, ""))
			_, err := w.create(t, w.space(t, name), `{metadata: {name: a}, data: {}}`)
			if err == nil || !strings.Contains(err.Error(), test.told) {
				t.Errorf("got  %v\nwant %s", err, test.told)
			}
		})
	}
}
