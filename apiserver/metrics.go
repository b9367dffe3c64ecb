package apiserver

import (
	utilfeature "k8s.io/apiserver/pkg/util/feature"

	// Their init functions are the only way to have these metrics.
	_ "k8s.io/component-base/metrics/prometheus/restclient"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

// moreMetrics adds those that upstream's program adds to the library's.
func moreMetrics() { utilfeature.DefaultMutableFeatureGate.AddMetrics() }
