package main

import (
	"regexp"
	"testing"
)

func TestTheAPIsSuiteLeavesOutWhatNeedsPods(t *testing.T) {
	c, err := chosen("api")
	if err != nil {
		t.Fatal(err)
	}
	focus, skip := regexp.MustCompile(c.focus), regexp.MustCompile(c.skip)
	for name, want := range map[string]bool{
		"[sig-api-machinery] Watchers should observe add, update, and delete watch notifications on configmaps [Conformance]":                true,
		"[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate custom resource [Conformance]":                         false,
		"[sig-api-machinery] Namespaces [Serial] should apply a finalizer to a Namespace [Conformance]":                                      false,
		"[sig-auth] ServiceAccounts should mount an API token into pods [Conformance]":                                                       false,
		"[sig-auth] ServiceAccounts no secret-based service account token should be auto-generated":                                          true,
		"[sig-node] Pods should be submitted and removed [Conformance]":                                                                      false,
		"[sig-api-machinery] ResourceQuota [FeatureGate:DynamicResourceAllocation] [DRA] should create a ResourceQuota":                      true,
		"[sig-api-machinery] API Streaming (aka. WatchList) [FeatureGate:WatchList] [Alpha] reflector doesn't support receiving … as Tables": false,
	} {
		if got := focus.MatchString(name) && !skip.MatchString(name); got != want {
			t.Errorf("%s: chosen %v, want %v", name, got, want)
		}
	}
	if _, err := chosen("everything"); err == nil {
		t.Error("an unknown suite was accepted")
	}
}
