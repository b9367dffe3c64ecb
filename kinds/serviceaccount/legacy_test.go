package serviceaccount_test

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"dhow/apiserver/apiservertest"
	"dhow/apiserver/token"
	"dhow/controller"
	"dhow/kinds/configmap"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/rbac/rbactest"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// withRoles is a cluster of what the controllers of tokens need.
func withRoles(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	return rbactest.Start(t, namespace.Kind(), configmap.Kind(), secret.Kind(), node.Kind(node.Config{}), pod.Kind(pod.Config{}),
		serviceaccount.Kind(serviceaccount.Config{}))
}

func tokenSecret(name, account string, labels map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, Annotations: map[string]string{corev1.ServiceAccountNameKey: account}},
		Type: corev1.SecretTypeServiceAccountToken}
}

// signs is a LegacyIssuer whose tokens say whose they are.
type signs struct{}

func (signs) MakeLegacy(namespace string, account token.Ref, secret string) (string, error) {
	return namespace + "/" + account.Name + "/" + secret, nil
}

func TestTokenSecretsAreFilledAndGoWithTheirAccount(t *testing.T) {
	declared := serviceaccount.TokenSecrets(signs{}, []byte("ca"))
	c := withRoles(t)
	rbactest.Run(t, c, declared)
	core := c.Client.CoreV1()
	account, err := core.ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{})
	check(t, err)
	for _, s := range []*corev1.Secret{tokenSecret("s", "a", nil), tokenSecret("stray", "nobody", nil)} {
		_, err := core.Secrets("default").Create(t.Context(), s, metav1.CreateOptions{})
		check(t, err)
	}
	full := func() bool {
		s, err := core.Secrets("default").Get(t.Context(), "s", metav1.GetOptions{})
		check(t, err)
		return string(s.Data["token"]) == "default/a/s" && string(s.Data["ca.crt"]) == "ca" && string(s.Data["namespace"]) == "default" &&
			s.Annotations[corev1.ServiceAccountUIDKey] == string(account.UID)
	}
	gone := func(name string) func() bool {
		return func() bool {
			_, err := core.Secrets("default").Get(t.Context(), name, metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		}
	}
	apiservertest.Eventually(t, full)
	apiservertest.Eventually(t, gone("stray"))
	_, err = core.Secrets("default").Patch(t.Context(), "s", types.MergePatchType, []byte(`{"data": {"token": null}}`), metav1.PatchOptions{})
	check(t, err)
	apiservertest.Eventually(t, full)
	check(t, core.ServiceAccounts("default").Delete(t.Context(), "a", metav1.DeleteOptions{}))
	apiservertest.Eventually(t, gone("s"))
}

func TestTheDaySinceWhichUsesAreNotedIsKept(t *testing.T) {
	declared := serviceaccount.LegacyTokenTracking()
	c := withRoles(t)
	rbactest.Run(t, c, declared)
	configMaps := c.Client.CoreV1().ConfigMaps("kube-system")
	const name = "kube-apiserver-legacy-service-account-token-tracking"
	for _, spoil := range []func() error{
		func() error { return nil },
		func() error { return configMaps.Delete(t.Context(), name, metav1.DeleteOptions{}) },
		func() error {
			_, err := configMaps.Patch(t.Context(), name, types.MergePatchType, []byte(`{"data": {"since": "once"}}`), metav1.PatchOptions{})
			return err
		},
	} {
		check(t, spoil())
		apiservertest.Eventually(t, func() bool {
			cm, err := configMaps.Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				return false
			}
			_, err = time.Parse(time.DateOnly, cm.Data["since"])
			return err == nil
		})
	}
}

func TestTokensOnceMadeForAccountsEndWhenNobodyUsesThem(t *testing.T) {
	declared := serviceaccount.LegacyTokenCleaner()
	c := withRoles(t)
	rbactest.Declare(t, c, declared)
	core := c.Client.CoreV1()
	now := time.Now().AddDate(2, 0, 0)
	day := func(ago int) string { return now.UTC().AddDate(0, 0, -ago).Format(time.DateOnly) }
	_, err := core.ConfigMaps("kube-system").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "kube-apiserver-legacy-service-account-token-tracking"}, Data: map[string]string{"since": day(700)}}, metav1.CreateOptions{})
	check(t, err)
	cases := []struct {
		name   string
		labels map[string]string
		manual bool // no account names it
		want   string
	}{
		{"unused", nil, false, "refused since " + day(0)},
		{"used-long-ago", map[string]string{token.LastUsedLabel: day(400)}, false, "refused since " + day(0)},
		{"used", map[string]string{token.LastUsedLabel: day(300)}, false, "good"},
		{"unclear", map[string]string{token.LastUsedLabel: "often"}, false, "good"},
		{"mounted", nil, false, "good"},
		{"manual", nil, true, "good"},
		{"refused", map[string]string{token.InvalidSinceLabel: day(300)}, false, "refused since " + day(300)},
		{"refused-for-long", map[string]string{token.InvalidSinceLabel: day(400)}, false, "removed"},
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	for _, s := range cases {
		_, err := core.Secrets("default").Create(t.Context(), tokenSecret(s.name, "a", s.labels), metav1.CreateOptions{})
		check(t, err)
		if !s.manual {
			account.Secrets = append(account.Secrets, corev1.ObjectReference{Name: s.name})
		}
	}
	_, err = core.ServiceAccounts("default").Create(t.Context(), account, metav1.CreateOptions{})
	check(t, err)
	mounts, err := core.Pods("default").Create(t.Context(), podOf(t, `{spec: {volumes: [{name: v, secret: {secretName: mounted}}]}}`), metav1.CreateOptions{})
	check(t, err)

	client, err := c.Server.Client(controller.User(declared.Name))
	check(t, err)
	env := controller.Env{Client: client, Informers: c.Informers, Now: func() time.Time { return now }}
	cleaner := declared.New(env)
	f := c.Informers.Core().V1()
	for _, i := range []interface{ HasSynced() bool }{f.Secrets().Informer(), f.ServiceAccounts().Informer(), f.Pods().Informer()} {
		c.Informers.Start(c.Context.Done())
		apiservertest.Eventually(t, i.HasSynced)
	}
	apiservertest.Eventually(t, func() bool { // what was made is seen
		_, last := f.Secrets().Lister().Secrets("default").Get(cases[len(cases)-1].name)
		_, named := f.ServiceAccounts().Lister().ServiceAccounts("default").Get("a")
		_, mounted := f.Pods().Lister().Pods("default").Get(mounts.Name)
		return errors.Join(last, named, mounted) == nil
	})
	look := func(name string) string {
		_, err := cleaner.Reconcile(t.Context(), types.NamespacedName{Namespace: "default", Name: name})
		check(t, err)
		got, err := core.Secrets("default").Get(t.Context(), name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return "removed"
		case err == nil && got.Labels[token.InvalidSinceLabel] != "":
			return "refused since " + got.Labels[token.InvalidSinceLabel]
		}
		check(t, err)
		return "good"
	}
	now = now.AddDate(0, 0, -400) // the secrets are old enough, but uses have not been noted for a year
	if got := look("unused"); got != "good" {
		t.Errorf("too early: %s", got)
	}
	now = now.AddDate(0, 0, 400)
	for _, s := range cases {
		if got := look(s.name); got != s.want {
			t.Errorf("%s: %s, want %s", s.name, got, s.want)
		}
	}
}
