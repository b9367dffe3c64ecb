package resilience

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/store"
)

// smallDisk is a file system of its own.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=400m,mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves 30 MB free, less than the store keeps for itself; remove the file that it returns to free the rest.
func fill(t *testing.T, dir string) string {
	t.Helper()
	within(t, 3*time.Minute, "etcd has allocated its log's next segment", func() bool {
		ahead, err := filepath.Glob(filepath.Join(dir, "member-data/member/wal/*.tmp"))
		if err != nil || len(ahead) != 1 {
			return false
		}
		info, err := os.Stat(ahead[0])
		return err == nil && info.Size() == 64_000_000 // wal.SegmentSizeBytes
	})
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail)*st.Bsize-30<<20); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func TestOnAFullDiskWritesSayWhyAndAllElseGoesOn(t *testing.T) {
	dir := smallDisk(t)
	db := opened(t, store.Config{Dir: dir})
	c := apiservertest.Start(t, bare(), func(config *apiserver.Config) { config.Store = db })
	maps, client := c.Client.CoreV1().ConfigMaps("default"), httpClient(t, c.Config)
	acknowledged := []string{"before", "doomed"}
	create(t, c, acknowledged...)
	w, err := maps.Watch(c.Context, metav1.ListOptions{FieldSelector: "metadata.name=after"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	ballast := fill(t, dir)
	names := map[string]string{http.MethodPost: "refused", http.MethodPut: "before"}

	for method, path := range map[string]string{http.MethodPost: mapsPath, http.MethodPut: mapsPath + "/before"} {
		r := do(t, client, method, c.Config.Host+path, "application/json", fmt.Sprintf(`{"metadata":{"name":%q},"data":{"b":"2"}}`, names[method]))
		if r.code < 500 || r.status.Status != metav1.StatusFailure || !strings.Contains(r.status.Message, "no space left on device") || !strings.Contains(r.status.Message, dir) {
			t.Errorf("%s on a full disk: %d %s", method, r.code, r.body)
		}
	}
	if err := maps.Delete(c.Context, "doomed", metav1.DeleteOptions{}); err != nil {
		t.Errorf("a deletion, which makes room: %v", err)
	}
	if list, err := maps.List(c.Context, metav1.ListOptions{}); err != nil || len(list.Items) != 1 || len(list.Items[0].Data) != 1 {
		t.Errorf("a list on a full disk: %v", err)
	}
	if r := do(t, client, http.MethodGet, c.Config.Host+"/livez", "", ""); r.code != http.StatusOK {
		t.Errorf("livez on a full disk: %d %s", r.code, r.body)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	create(t, c, "after")
	select {
	case e := <-w.ResultChan():
		if e.Type != "ADDED" {
			t.Errorf("the watch from before: %v", e)
		}
	case <-time.After(3 * time.Minute):
		t.Error("the watch from before has ended")
	}
}
