package image

import (
	"runtime"
	"testing"
)

func TestAnImageForAnotherPlatformIsPulledOnDemand(t *testing.T) {
	host, s := serve(t, nil), newStore(t)
	platforms(t, host+"/many:1", runtime.GOARCH, "s390x")
	p, err := s.Pull(t.Context(), host+"/many:1", PullOptions{Platform: "linux/s390x"})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := s.Inspect(t.Context(), p.ID); err != nil || d.Spec.Architecture != "s390x" {
		t.Errorf("it is for %v, %v", d, err)
	}
	own := pulled(t, s, host+"/many:1")
	if own.ID == p.ID || own.Digest != p.Digest || !own.New {
		t.Errorf("for this machine: %+v, before %+v", own, p)
	}
}
