package network

import (
	"fmt"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/network/networktest"
)

// BenchmarkAttach measures the connection of a namespace that exists. The namespaces live on until the end: the
// kernel's clean-up after one would stand in the way of the next.
func BenchmarkAttach(b *testing.B) {
	f := start(b, "10.42.0.0/16")
	config := &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: "p"}}
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		ns := networktest.New(b)
		b.StartTimer()
		if _, err := f.Attach(b.Context(), fmt.Sprintf("bench%d", i), ns.Path(), config); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTakeAddress(b *testing.B) {
	p := newPool(prefixes("10.42.0.0/16")[0])
	for b.Loop() {
		a, err := p.take()
		if err != nil {
			p = newPool(p.prefix)
			continue
		}
		_ = a
	}
}
