package apiserver_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/apiserver/encryption"
	"dhow/store"
)

// onDisk runs a server on the data in dir, encrypted by its keys or as file says, for as long as do takes.
func onDisk(t *testing.T, dir, file string, do func(*testing.T, *apiservertest.Cluster)) {
	t.Helper()
	keyed := func(t *testing.T) *encryption.Encryption {
		e, err := encryption.Open(t.Context(), encryption.Config{Dir: filepath.Join(dir, "keys"), File: file, Reload: true})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if !t.Run("server", func(t *testing.T) { serveData(t, dir, keyed, do) }) {
		t.FailNow()
	}
}

func serveData(t *testing.T, dir string, keyed func(*testing.T) *encryption.Encryption, do func(*testing.T, *apiservertest.Cluster)) {
	db, err := store.New(store.Config{Dir: filepath.Join(dir, "etcd")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := db.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	do(t, apiservertest.Start(t, bare(), func(c *apiserver.Config) { c.Store, c.Encryption = db, keyed(t) }))
}

func plain(*testing.T) *encryption.Encryption { return nil }

func secretOf(i int) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("s-%05d", i)}, Data: map[string][]byte{"k": fmt.Appendf(nil, "open-sesame-%05d", i)}}
}

func createSecrets(t *testing.T, c *apiservertest.Cluster, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := c.Client.CoreV1().Secrets("default").Create(c.Context, secretOf(i), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// checkSecrets reads what createSecrets wrote.
func checkSecrets(t *testing.T, c *apiservertest.Cluster, count int) {
	t.Helper()
	list, err := c.Client.CoreV1().Secrets("default").List(c.Context, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, s := range list.Items {
		found[s.Name] = string(s.Data["k"])
	}
	for i := range count {
		if want := secretOf(i); found[want.Name] != string(want.Data["k"]) {
			t.Errorf("%s is %q", want.Name, found[want.Name])
		}
	}
}

func askEncryption(c *apiservertest.Cluster, action string) (s encryption.Status, err error) {
	request := c.Client.Discovery().RESTClient().Get().AbsPath(encryption.Path)
	if action != "" {
		request = c.Client.Discovery().RESTClient().Post().AbsPath(encryption.Path + "/" + action)
	}
	data, err := request.DoRaw(c.Context)
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	return s, err
}

// changeEncryption does an action to its end.
func changeEncryption(t *testing.T, c *apiservertest.Cluster, action string) encryption.Status {
	t.Helper()
	var s encryption.Status
	apiservertest.Eventually(t, func() bool { // after a start it may take a moment
		var err error
		s, err = askEncryption(c, action)
		return err == nil
	})
	apiservertest.Eventually(t, func() bool {
		s, _ = askEncryption(c, "")
		return s.Stage != encryption.StageActive && s.Stage != ""
	})
	if s.Error != "" {
		t.Errorf("%s: %s", action, s.Error)
	}
	return s
}

// holds says whether a file in dir has text in it; files may come and go meanwhile.
func holds(t *testing.T, dir, text string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var data []byte
			data, err = os.ReadFile(path)
			found = found || strings.Contains(string(data), text)
		}
		if errors.Is(err, fs.ErrNotExist) && path != dir {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestSecretsAreEncryptedOnDiskFromTheFirstStartOn(t *testing.T) {
	dir := t.TempDir()
	onDisk(t, dir, "", func(t *testing.T, c *apiservertest.Cluster) {
		createSecrets(t, c, 0, 3)
		public := configMap("public")
		public.Data["a"] = "for-everybody"
		if _, err := c.Client.CoreV1().ConfigMaps("default").Create(c.Context, public, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if s, err := askEncryption(c, ""); err != nil || !s.Enabled || len(s.Keys) != 1 || !s.Keys[0].Active {
			t.Errorf("the status is %+v, %v", s, err)
		}
	})
	if holds(t, filepath.Join(dir, "etcd"), "open-sesame") {
		t.Error("a Secret can be read on disk")
	}
	if !holds(t, filepath.Join(dir, "etcd"), "for-everybody") {
		t.Error("the ConfigMap is not there: the test proves nothing")
	}
	if info, err := os.Stat(filepath.Join(dir, "keys/config.yaml")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	onDisk(t, dir, "", func(t *testing.T, c *apiservertest.Cluster) { checkSecrets(t, c, 3) })
}

func TestDataFromBeforeEncryptionIsReadAndEncryptedWhenAsked(t *testing.T) {
	dir := t.TempDir()
	t.Run("before", func(t *testing.T) {
		serveData(t, dir, plain, func(t *testing.T, c *apiservertest.Cluster) { createSecrets(t, c, 0, 20) })
	})
	onDisk(t, dir, "", func(t *testing.T, c *apiservertest.Cluster) {
		checkSecrets(t, c, 20)
		for want, name := range map[int]string{20: "reencrypt"} {
			if s := changeEncryption(t, c, name); s.Rewritten != want || s.Stage != encryption.StageFinished {
				t.Errorf("reencrypt wrote %+v, want %d", s, want)
			}
		}
		if s := changeEncryption(t, c, "reencrypt"); s.Rewritten != 20 {
			t.Errorf("a second one wrote %d more", s.Rewritten-20)
		}
		checkSecrets(t, c, 20)
	})
}

func TestEncryptionIsSwitchedOffAndOnWhileTheServerRuns(t *testing.T) {
	dir := t.TempDir()
	onDisk(t, dir, "", func(t *testing.T, c *apiservertest.Cluster) {
		createSecrets(t, c, 0, 3)
		if s := changeEncryption(t, c, "disable"); s.Enabled || s.Keys[0].Active {
			t.Errorf("disabled it is %+v", s)
		}
		if _, err := askEncryption(c, "rotate-keys"); err == nil {
			apiservertest.Eventually(t, func() bool { s, _ := askEncryption(c, ""); return strings.Contains(s.Error, "enable it first") })
		}
		createSecrets(t, c, 3, 6)
		checkSecrets(t, c, 6)
		if s := changeEncryption(t, c, "reencrypt"); s.Rewritten != 3 {
			t.Errorf("%d were decrypted", s.Rewritten)
		}
		if s := changeEncryption(t, c, "enable"); !s.Enabled {
			t.Errorf("enabled it is %+v", s)
		}
		if s := changeEncryption(t, c, "reencrypt"); s.Rewritten != 9 {
			t.Errorf("%d were encrypted", s.Rewritten-3)
		}
		checkSecrets(t, c, 6)
		if _, err := askEncryption(c, "explode"); !apierrors.IsNotFound(err) {
			t.Errorf("an unknown action: %v", err)
		}
	})
}

func TestOnlyAdministratorsSeeAndChangeEncryption(t *testing.T) {
	onDisk(t, t.TempDir(), "", func(t *testing.T, c *apiservertest.Cluster) {
		someone, err := c.Server.Client("jane")
		if err != nil {
			t.Fatal(err)
		}
		get := someone.Discovery().RESTClient().Get().AbsPath(encryption.Path).Do(c.Context).Error()
		post := someone.Discovery().RESTClient().Post().AbsPath(encryption.Path + "/disable").Do(c.Context).Error()
		if !apierrors.IsForbidden(get) || !apierrors.IsForbidden(post) {
			t.Errorf("got %v, %v", get, post)
		}
	})
}

func TestKeysAreRotatedWhileSecretsAreWritten(t *testing.T) {
	dir := t.TempDir()
	const writers, each = 4, 60
	onDisk(t, dir, "", func(t *testing.T, c *apiservertest.Cluster) {
		first, err := askEncryption(c, "")
		if err != nil {
			t.Fatal(err)
		}
		var writing sync.WaitGroup
		for w := range writers {
			writing.Go(func() { createSecrets(t, c, w*each, (w+1)*each) })
		}
		for range 4 {
			s := changeEncryption(t, c, "rotate-keys")
			if len(s.Keys) != 1 || s.Keys[0].Name == first.Keys[0].Name {
				t.Errorf("after the rotation the keys are %+v", s.Keys)
			}
		}
		writing.Wait()
		checkSecrets(t, c, writers*each)
	})
	onDisk(t, dir, "", func(t *testing.T, c *apiservertest.Cluster) { checkSecrets(t, c, writers*each) })
}

// rotationChild names, in the environment, the data of a child that rotates keys until it is killed.
const rotationChild = "DHOW_TEST_ROTATION_CHILD"

func TestRotationChild(t *testing.T) {
	dir := os.Getenv(rotationChild)
	if dir == "" {
		return // it is the other's child
	}
	onDisk(t, dir, "", func(t *testing.T, c *apiservertest.Cluster) {
		list, err := c.Client.CoreV1().Secrets("default").List(c.Context, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for c.Context.Err() == nil {
				changeEncryption(t, c, "rotate-keys")
			}
		}()
		for i := len(list.Items); ; i++ {
			createSecrets(t, c, i, i+1)
			fmt.Printf("acknowledged %d\n", i)
		}
	})
}

func TestAKillInTheMiddleOfARotationLosesNothing(t *testing.T) {
	dir, safe := t.TempDir(), 0
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		child := exec.CommandContext(ctx, "/proc/self/exe", "-test.run=^TestRotationChild$")
		child.Env = append(os.Environ(), rotationChild+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		var once sync.Once
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var n int
			if _, err := fmt.Sscanf(lines.Text(), "acknowledged %d", &n); err != nil {
				continue
			}
			safe = max(safe, n+1)
			once.Do(func() { time.AfterFunc(50*time.Millisecond+rand.N(400*time.Millisecond), cancel) })
		}
		_ = child.Wait() // it was killed
		cancel()
	}
	if safe < 5 {
		t.Fatalf("only %d writes were acknowledged: the test proves little", safe)
	}
	onDisk(t, dir, "", func(t *testing.T, c *apiservertest.Cluster) {
		checkSecrets(t, c, safe)
		apiservertest.Eventually(t, func() bool { s, err := askEncryption(c, ""); return err == nil && len(s.Keys) == 1 })
		checkSecrets(t, c, safe)
	})
	t.Logf("%d writes were acknowledged", safe)
}

// serveAt runs a server on the data and keys in dir at address, for as long as do takes.
func serveAt(t *testing.T, dir, address string, do func(*apiservertest.Cluster)) {
	t.Helper()
	db, err := store.New(store.Config{Dir: filepath.Join(dir, "etcd")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := db.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	do(apiservertest.Start(t, bare(), ownedBy(t, dir, address, func(c *apiserver.Config) { c.Store = db })))
}
