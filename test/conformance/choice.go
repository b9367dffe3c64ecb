package main

import (
	"fmt"
	"slices"
	"strings"
)

// choice is a suite that can be run: the program that holds its tests, and which of them are chosen unless told otherwise.
type choice struct {
	program     string
	pods        bool // its tests run pods, so that they need images
	focus, skip string
}

// notChosen is skipped by default: what must run alone or takes very long.
const notChosen = `\[Serial\]|\[Slow\]|\[Disruptive\]`

// choices by their names.
var choices = map[string]choice{
	"all": {program: "e2e.test", pods: true, focus: `\[Conformance\]`, skip: notChosen},
	"api": {program: "api.test", focus: `\[sig-api-machinery\]|\[sig-auth\]`, skip: notChosen + "|" + strings.Join(beyondTheAPI, "|")},
}

// beyondTheAPI are the tests of the two groups that wait for pods or for features that are off by default, or that
// take more than their share of the time.
var beyondTheAPI = []string{
	`\[Feature:`, `\[FeatureGate:.*(\[Alpha\]|BetaOffByDefault)`, `\[Flaky\]`, `cronjob`,
	`AdmissionWebhook`, `\[sig-api-machinery\] Aggregator`, `ConversionWebhook`, `CustomResourceFieldSelectors`,
	`Generated clientset.*create pods`, `OrderedNamespaceDeletion`, `set to pvc count: 1`,
	`NodeAuthenticator`, `ServiceAccounts.*(into pods|projected|issuer|RunAsUser|InClusterConfig)`, `by-node`,
	`orphan deletion of custom resources`,
}

func chosen(name string) (choice, error) {
	c, ok := choices[name]
	if !ok {
		return c, fmt.Errorf("--suite: %q is none of all, api", name)
	}
	return c, nil
}

// needs says whether a binary is a part of the suite or is used to make it run.
func (c choice) needs(b binary) bool {
	return c.pods && b.Name != choices["api"].program || slices.Contains([]string{"ginkgo", c.program}, b.Name)
}
