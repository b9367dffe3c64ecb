package node

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestHugePagesAreLimitedToWhatIsAskedFor(t *testing.T) {
	limits := corev1.ResourceList{"hugepages-2Mi": resource.MustParse("8Mi"), "memory": resource.MustParse("1Gi")}
	got := hugePages(limits, []string{"2MB", "1GB", "64KB"})
	if len(got) != 3 || got[0].Limit != 8<<20 || got[1].Limit != 0 || got[2].Limit != 0 || got[1].PageSize != "1GB" {
		t.Errorf("got %v", got)
	}
	for bytes, want := range map[int64]string{64 << 10: "64KB", 2 << 20: "2MB", 1 << 30: "1GB"} {
		if got := pageSize(bytes); got != want {
			t.Errorf("%d bytes are %s, want %s", bytes, got, want)
		}
	}
}
