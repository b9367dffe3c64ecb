package token

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"dhow/identity"
)

// known is a cluster with account web/a, pod web/p and secret web/s.
type known struct {
	dir  string
	keys *identity.ServiceAccountKeys
	auth *Authenticator
	make *Maker
	fake *fake.Clientset
}

func cluster(t *testing.T, o Options) *known {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pki")
	id, err := identity.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	client := fake.NewClientset(
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "a", UID: "ua"}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "p", UID: "up"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "s", UID: "us"}})
	f := informers.NewSharedInformerFactory(client, 0)
	auth := NewAuthenticator(Config{Keys: id.ServiceAccountKeys, Options: o, Informers: f, Client: client})
	f.Start(t.Context().Done())
	f.WaitForCacheSync(t.Context().Done())
	return &known{dir, id.ServiceAccountKeys, auth, NewMaker(id.ServiceAccountKeys, o), client}
}

var account = Binding{Namespace: "web", ServiceAccount: Ref{Name: "a", UID: "ua"}}

func (k *known) sign(t *testing.T, b Binding, valid time.Duration, audiences ...string) string {
	t.Helper()
	made, err := k.make.Make(b, audiences, valid)
	if err != nil {
		t.Fatal(err)
	}
	return made.Text
}

func (k *known) check(t *testing.T, text string) (user string, wrong string) {
	t.Helper()
	got, ok, err := k.auth.AuthenticateToken(t.Context(), text)
	switch {
	case err != nil:
		return "", err.Error()
	case !ok:
		return "", "somebody else's"
	}
	return got.User.GetName(), ""
}

func TestTokensHoldWhileWhatTheyAreBoundToLives(t *testing.T) {
	k := cluster(t, Options{})
	bound := func(edit func(*Binding)) Binding { b := account; edit(&b); return b }
	for name, c := range map[string]struct {
		binding Binding
		valid   time.Duration
		wrong   string
	}{
		"account":         {account, time.Hour, ""},
		"pod":             {bound(func(b *Binding) { b.Pod = &Ref{"p", "up"} }), time.Hour, ""},
		"secret":          {bound(func(b *Binding) { b.Secret = &Ref{"s", "us"} }), time.Hour, ""},
		"over":            {account, -time.Hour, "service account token has expired"},
		"no account":      {Binding{Namespace: "web", ServiceAccount: Ref{"x", "ux"}}, time.Hour, `serviceaccounts "x" not found`},
		"another account": {Binding{Namespace: "web", ServiceAccount: Ref{"a", "old"}}, time.Hour, "service account UID (ua) does not match claim (old)"},
		"no pod":          {bound(func(b *Binding) { b.Pod = &Ref{"x", "ux"} }), time.Hour, "service account token has been invalidated"},
		"another pod":     {bound(func(b *Binding) { b.Pod = &Ref{"p", "old"} }), time.Hour, "pod UID (up) does not match service account pod ref claim (old)"},
		"no node":         {bound(func(b *Binding) { b.Node = &Ref{"n", "un"} }), time.Hour, "service account token has been invalidated"},
	} {
		t.Run(name, func(t *testing.T) {
			who, wrong := k.check(t, k.sign(t, c.binding, c.valid))
			if wrong != c.wrong || c.wrong == "" && who != "system:serviceaccount:web:a" {
				t.Errorf("%q, %q", who, wrong)
			}
		})
	}
}

func TestTokensAreForTheirAudience(t *testing.T) {
	k := cluster(t, Options{})
	if _, wrong := k.check(t, k.sign(t, account, time.Hour, "vault")); !strings.Contains(wrong, "is invalid for the target audiences") {
		t.Errorf("a token for somebody else: %q", wrong)
	}
}

func TestFurtherIssuersAreBelieved(t *testing.T) {
	k := cluster(t, Options{Issuers: []string{"https://new", "https://old"}, Audiences: []string{"api"}})
	k.make = NewMaker(k.keys, Options{Issuers: []string{"https://old"}, Audiences: []string{"api"}})
	if _, wrong := k.check(t, k.sign(t, account, time.Hour)); wrong != "" {
		t.Errorf("a former issuer: %s", wrong)
	}
	k.make = NewMaker(k.keys, Options{Issuers: []string{"https://other"}})
	if _, wrong := k.check(t, k.sign(t, account, time.Hour)); wrong != "somebody else's" {
		t.Errorf("a strange issuer: %s", wrong)
	}
}

func TestOldTokensHoldAfterARotationUntilTheirKeyIsForgotten(t *testing.T) {
	k := cluster(t, Options{})
	old := k.sign(t, account, time.Hour)
	retired := k.keys.Verifying()[0].ID
	if _, err := identity.RotateServiceAccountKey(k.dir); err != nil {
		t.Fatal(err)
	}
	if err := k.keys.Reload(); err != nil {
		t.Fatal(err)
	}
	fresh := k.sign(t, account, time.Hour)
	for _, text := range []string{old, fresh} {
		if _, wrong := k.check(t, text); wrong != "" {
			t.Errorf("after the rotation: %s", wrong)
		}
	}
	if set, err := PublicKeys(k.keys.Verifying()); err != nil || len(set.Keys) != 2 || set.Keys[1].KeyID != retired {
		t.Errorf("published %+v, %v; want both keys, the retired one last", set, err)
	}
	if err := identity.ForgetServiceAccountKey(k.dir, retired); err != nil {
		t.Fatal(err)
	}
	if err := k.keys.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, wrong := k.check(t, old); !strings.Contains(wrong, "no keys found") {
		t.Errorf("signed by a forgotten key: %q", wrong)
	}
	if _, wrong := k.check(t, fresh); wrong != "" {
		t.Errorf("signed by the new key: %s", wrong)
	}
}

func TestALegacyTokenHoldsWhileItsSecretKeepsIt(t *testing.T) {
	k := cluster(t, Options{})
	text, err := k.make.MakeLegacy("web", Ref{"a", "ua"}, "s2")
	if err != nil {
		t.Fatal(err)
	}
	if _, wrong := k.check(t, text); wrong != "token has been invalidated: its secret is gone" {
		t.Errorf("without its secret: %q", wrong)
	}
	keep := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "s2"}, Data: map[string][]byte{"token": []byte(text)}}
	if _, err := k.fake.CoreV1().Secrets("web").Create(t.Context(), keep, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	today := func() string { return time.Now().UTC().Format(time.DateOnly) }
	before := today()
	if who, wrong := k.check(t, text); who != "system:serviceaccount:web:a" {
		t.Errorf("%q, %q", who, wrong)
	}
	got, err := k.fake.CoreV1().Secrets("web").Get(t.Context(), "s2", metav1.GetOptions{})
	if noted := got.Labels[LastUsedLabel]; err != nil || noted != before && noted != today() {
		t.Errorf("the use is noted as %v, %v", got.Labels, err)
	}
}

func TestForeignTokensAreLeftToOthers(t *testing.T) {
	k := cluster(t, Options{})
	for _, text := range []string{"", "a.b.c", "abcdef.0123456789abcdef", "e30.e30.e30"} {
		if _, wrong := k.check(t, text); wrong != "somebody else's" {
			t.Errorf("%q: %q", text, wrong)
		}
	}
}
