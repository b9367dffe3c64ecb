package token

import (
	basemetrics "k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// metrics count uses of tokens under upstream's names.
type metrics struct {
	legacy, stale, valid, auto, manual, invalid *basemetrics.Counter
}

func newMetrics() *metrics {
	counter := func(name, help string) *basemetrics.Counter {
		c := basemetrics.NewCounter(&basemetrics.CounterOpts{
			Subsystem: "serviceaccount", Name: name, Help: help, StabilityLevel: basemetrics.ALPHA,
		})
		if err := legacyregistry.Register(c); err != nil {
			c.Create(nil) // counted, but not shown: another server of this process has registered its own
		}
		return c
	}
	return &metrics{
		legacy:  counter("legacy_tokens_total", "Cumulative legacy service account tokens used"),
		stale:   counter("stale_tokens_total", "Cumulative stale projected service account tokens used"),
		valid:   counter("valid_tokens_total", "Cumulative valid projected service account tokens used"),
		auto:    counter("legacy_auto_token_uses_total", "Cumulative auto-generated legacy tokens used"),
		manual:  counter("legacy_manual_token_uses_total", "Cumulative manually created legacy tokens used"),
		invalid: counter("invalid_legacy_auto_token_uses_total", "Cumulative invalid auto-generated legacy tokens used"),
	}
}
