package signals

import (
	"testing"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestNamesAreReadAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string]int{
		"SIGTERM": 15, "TERM": 15, "term": 15, "sigKill": 9, "15": 15, "0": 0, "64": 64, "SIGRTMIN": 34, "RTMIN+3": 37, "SIGRTMIN+30": 64,
		"SIGRTMAX": 64, "SIGRTMAX-1": 63, "rtmax-30": 34, "SIGRTMINPLUS15": 49, "SIGRTMAXMINUS14": 50,
		"": -1, "SIG": -1, "65": -1, "-1": -1, "SIGNONE": -1, "SIGRTMIN+31": -1, "SIGRTMIN+99999": -1, "SIGRTMIN+-3": -1, "SIGRTMIN-1": -1, "SIGRTMAX+1": -1,
		"SIGRTMAX-31": -1, "SIGRTMIN+": -1, "SIGRTMINx": -1,
	} {
		got, err := Parse(text)
		if (err == nil) != (want >= 0) || want >= 0 && got != unix.Signal(want) {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestAllOfCRIsSignalsAreKnown(t *testing.T) {
	for n, name := range cri.Signal_name {
		if n == int32(cri.Signal_SIGNAL_RUNTIME_DEFAULT) {
			continue
		}
		if sig, err := Parse(name); err != nil || sig == 0 {
			t.Errorf("%s: %d, %v", name, sig, err)
		}
	}
}
