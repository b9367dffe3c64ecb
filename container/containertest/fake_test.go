package containertest

import "testing"

func TestTheFakeKeepsTheContract(t *testing.T) {
	busybox := NewBusybox(t)
	Suite(t, func(t *testing.T) Rig {
		fake := NewFake()
		fake.Play = busybox.Player()
		r := Rig{Runtime: fake, Image: "busybox", Logs: t.TempDir()}
		t.Cleanup(fake.EndAll)
		return r
	})
}
