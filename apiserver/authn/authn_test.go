package authn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	jwtlib "github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"dhow/identity"
	"dhow/internal/logtest"
)

func config(t *testing.T, o Options, secrets ...*corev1.Secret) (Config, *logtest.Buffer) {
	t.Helper()
	id, err := identity.Open(filepath.Join(t.TempDir(), "pki"))
	if err != nil {
		t.Fatal(err)
	}
	index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, s := range secrets {
		if err := index.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	log := &logtest.Buffer{}
	return Config{
		Options: o, ClusterCA: id.CA.PEM, FrontProxyCA: id.FrontProxyCA.PEM, Audiences: authenticator.Audiences{"api"},
		Issuers: []string{"https://kubernetes.default.svc"}, Secrets: corelisters.NewSecretLister(index),
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}, log
}

// running authenticates until the test ends.
func running(t *testing.T, c Config) *Authentication {
	t.Helper()
	a, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); a.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return a
}

// who is the user and groups of a bearer token, or why there is none.
func who(a *Authentication, token string) (string, []string) {
	r := httptest.NewRequest(http.MethodGet, "/api", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	got, ok, err := a.Request().AuthenticateRequest(r)
	if err != nil || !ok {
		return fmt.Sprintf("nobody: %v", err), nil
	}
	return got.User.GetName(), got.User.GetGroups()
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	tick, deadline := time.NewTicker(10*time.Millisecond), time.After(3*time.Minute)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("still not so after three minutes")
		}
	}
}

// put replaces a file as editors do.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestAnybodyMayBeAnonymousUnlessToldOtherwise(t *testing.T) {
	no := false
	for name, c := range map[string]struct {
		anonymous *bool
		want      string
	}{"by default": {nil, "system:anonymous"}, "turned off": {&no, "nobody: <nil>"}} {
		conf, _ := config(t, Options{Anonymous: c.anonymous})
		if got, _ := who(running(t, conf), ""); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestATokenFileIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.csv")
	put(t, path, "one,ann,u1,\"g,h\"\n")
	conf, log := config(t, Options{TokenFile: path})
	a := running(t, conf)
	if name, groups := who(a, "one"); name != "ann" || !slices.Contains(groups, "h") || !slices.Contains(groups, "system:authenticated") {
		t.Errorf("%s %v", name, groups)
	}
	put(t, path, "broken\n")
	eventually(t, func() bool { return log.Has(path) && log.Has("at least 3 columns") })
	put(t, path, "two,ben,u2\n")
	eventually(t, func() bool { name, _ := who(a, "two"); return name == "ben" })
}

func TestBootstrapTokens(t *testing.T) {
	secret := func(edit func(map[string][]byte)) *corev1.Secret {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "bootstrap-token-abcdef"}, Type: "bootstrap.kubernetes.io/token",
			Data: map[string][]byte{"token-id": []byte("abcdef"), "token-secret": []byte("0123456789abcdef"), "usage-bootstrap-authentication": []byte("true")}}
		edit(s.Data)
		return s
	}
	for name, c := range map[string]struct {
		edit func(map[string][]byte)
		good bool
	}{
		"good":          {func(map[string][]byte) {}, true},
		"extra group":   {func(d map[string][]byte) { d["auth-extra-groups"] = []byte("system:bootstrappers:x") }, true},
		"other secret":  {func(d map[string][]byte) { d["token-secret"] = []byte("x") }, false},
		"other id":      {func(d map[string][]byte) { d["token-id"] = []byte("x") }, false},
		"over":          {func(d map[string][]byte) { d["expiration"] = []byte("2020-01-01T00:00:00Z") }, false},
		"no time":       {func(d map[string][]byte) { d["expiration"] = []byte("tomorrow") }, false},
		"signing only":  {func(d map[string][]byte) { delete(d, "usage-bootstrap-authentication") }, false},
		"foreign group": {func(d map[string][]byte) { d["auth-extra-groups"] = []byte("system:masters") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			conf, _ := config(t, Options{}, secret(c.edit))
			got, groups := who(running(t, conf), "abcdef.0123456789abcdef")
			if good := got == "system:bootstrap:abcdef" && slices.Contains(groups, "system:bootstrappers"); good != c.good {
				t.Errorf("%s %v", got, groups)
			}
		})
	}
}

// issuer is an OpenID Connect issuer on loopback.
type issuer struct {
	server *httptest.Server
	key    *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	i := &issuer{key: key}
	mux := http.NewServeMux()
	answer := func(path string, value func() any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(value())
		})
	}
	answer("/.well-known/openid-configuration", func() any {
		return map[string]any{"issuer": i.server.URL, "jwks_uri": i.server.URL + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"}}
	})
	answer("/keys", func() any {
		return map[string]any{"keys": []any{map[string]string{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k",
			"x": encode(point[1:33]), "y": encode(point[33:])}}}
	})
	i.server = httptest.NewTLSServer(mux)
	t.Cleanup(i.server.Close)
	return i
}

func (i *issuer) token(t *testing.T, claims jwtlib.MapClaims) string {
	t.Helper()
	claims["iss"], claims["exp"] = i.server.URL, time.Now().Add(time.Hour).Unix()
	token := jwtlib.NewWithClaims(jwtlib.SigningMethodES256, claims)
	token.Header["kid"] = "k"
	text, err := token.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (i *issuer) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw}))
}

// configuration believes the issuer and maps claims by CEL.
func (i *issuer) configuration(prefix string) string {
	text, _ := json.Marshal(map[string]any{
		"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
		"anonymous": map[string]any{"enabled": true, "conditions": []any{map[string]any{"path": "/livez"}}},
		"jwt": []any{map[string]any{
			"issuer":               map[string]any{"url": i.server.URL, "audiences": []string{"dhow"}, "certificateAuthority": i.ca()},
			"claimValidationRules": []any{map[string]any{"expression": "claims.hd == 'example.org'", "message": "hd must be example.org"}},
			"claimMappings": map[string]any{
				"username": map[string]any{"expression": "'" + prefix + "' + claims.sub"},
				"groups":   map[string]any{"expression": "claims.roles"},
			},
		}},
	})
	return string(text)
}

func TestOpenIDConnectIssuersAreBelievedAsConfigured(t *testing.T) {
	i := newIssuer(t)
	path := filepath.Join(t.TempDir(), "authentication.yaml")
	put(t, path, i.configuration("oidc:"))
	conf, log := config(t, Options{ConfigFile: path})
	a := running(t, conf)
	good := i.token(t, jwtlib.MapClaims{"sub": "ann", "aud": "dhow", "hd": "example.org", "roles": []string{"dev"}})
	eventually(t, func() bool { name, _ := who(a, good); return name == "oidc:ann" })
	if _, groups := who(a, good); !slices.Contains(groups, "dev") {
		t.Errorf("groups %v", groups)
	}
	for name, claims := range map[string]jwtlib.MapClaims{
		"another audience": {"sub": "ann", "aud": "x", "hd": "example.org", "roles": []string{}},
		"a broken rule":    {"sub": "ann", "aud": "dhow", "hd": "evil.org", "roles": []string{}},
	} {
		if got, _ := who(a, i.token(t, claims)); !strings.HasPrefix(got, "nobody:") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got, _ := who(a, ""); got != "nobody: <nil>" {
		t.Errorf("anonymous where only /livez is open: %s", got)
	}

	put(t, path, strings.Replace(i.configuration("x:"), "claims.sub", "claims.", 1))
	eventually(t, func() bool { return log.Has(path) && log.Has("jwt[0].claimMappings.username.expression") })
	if got, _ := who(a, i.token(t, jwtlib.MapClaims{"sub": "ben", "aud": "dhow", "hd": "example.org", "roles": []string{}})); got != "oidc:ben" {
		t.Errorf("after a bad file: %s", got)
	}
	put(t, path, i.configuration("new:"))
	eventually(t, func() bool {
		got, _ := who(a, i.token(t, jwtlib.MapClaims{"sub": "cid", "aud": "dhow", "hd": "example.org", "roles": []string{}}))
		return got == "new:cid"
	})
}

func TestAnIssuerOfFlagsIsBelieved(t *testing.T) {
	i := newIssuer(t)
	ca := filepath.Join(t.TempDir(), "ca.crt")
	put(t, ca, i.ca())
	for name, c := range map[string]struct {
		edit   func(*OIDC)
		claims jwtlib.MapClaims
		want   string
		groups []string
	}{
		"defaults":        {func(*OIDC) {}, jwtlib.MapClaims{"sub": "ann", "groups": []string{"dev"}}, i.server.URL + "#ann", nil},
		"prefix":          {func(o *OIDC) { o.UsernamePrefix = "oidc:" }, jwtlib.MapClaims{"sub": "ann"}, "oidc:ann", nil},
		"no prefix":       {func(o *OIDC) { o.UsernamePrefix = "-" }, jwtlib.MapClaims{"sub": "ann"}, "ann", nil},
		"email":           {func(o *OIDC) { o.UsernameClaim = "email" }, jwtlib.MapClaims{"email": "a@x.org", "email_verified": true}, "a@x.org", nil},
		"unproven email":  {func(o *OIDC) { o.UsernameClaim = "email" }, jwtlib.MapClaims{"email": "a@x.org", "email_verified": false}, "", nil},
		"groups":          {func(o *OIDC) { o.UsernamePrefix, o.GroupsClaim, o.GroupsPrefix = "-", "groups", "g:" }, jwtlib.MapClaims{"sub": "ann", "groups": []string{"dev"}}, "ann", []string{"g:dev"}},
		"required claims": {func(o *OIDC) { o.UsernamePrefix, o.RequiredClaims = "-", map[string]string{"hd": "x"} }, jwtlib.MapClaims{"sub": "ann", "hd": "x"}, "ann", nil},
		"a claim missing": {func(o *OIDC) { o.RequiredClaims = map[string]string{"hd": "x", "a": "b"} }, jwtlib.MapClaims{"sub": "ann", "hd": "x"}, "", nil},
		"not by RS256":    {func(o *OIDC) { o.SigningAlgorithms = nil }, jwtlib.MapClaims{"sub": "ann"}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := OIDC{IssuerURL: i.server.URL, ClientID: "dhow", CAFile: ca, SigningAlgorithms: []string{"ES256"}}
			c.edit(&o)
			conf, _ := config(t, Options{OIDC: o})
			a := running(t, conf)
			c.claims["aud"] = "dhow"
			token := i.token(t, c.claims)
			eventually(t, func() bool { return a.jwt.current.Load() != nil && a.jwt.current.Load().check() == nil })
			got, groups := who(a, token)
			if c.want == "" && !strings.HasPrefix(got, "nobody:") || c.want != "" && got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			for _, g := range c.groups {
				if !slices.Contains(groups, g) {
					t.Errorf("groups %v, want %v", groups, c.groups)
				}
			}
		})
	}
}

func TestAWebhookKnowsTokens(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Spec struct{ Token string }
		}
		_ = json.NewDecoder(r.Body).Decode(&review)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": map[string]any{
			"authenticated": review.Spec.Token == "secret", "user": map[string]any{"username": "remote"},
		}})
	}))
	defer server.Close()
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	path := filepath.Join(t.TempDir(), "webhook.yaml")
	put(t, path, fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: x, clusters: [{name: x, cluster: {server: %q, certificate-authority-data: %s}}],
		users: [{name: x, user: {}}], contexts: [{name: x, context: {cluster: x, user: x}}]}`, server.URL, ca))
	conf, _ := config(t, Options{Webhook: Webhook{ConfigFile: path, Version: "v1"}})
	a := running(t, conf)
	if got, _ := who(a, "secret"); got != "remote" {
		t.Error(got)
	}
	if got, _ := who(a, "other"); !strings.HasPrefix(got, "nobody:") {
		t.Error(got)
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	put(t, bad, "kind: Nonsense\n")
	conf, _ := config(t, Options{})
	ca := filepath.Join(dir, "ca.crt")
	put(t, ca, string(conf.ClusterCA))
	oidc := func(edit func(*OIDC)) Options {
		o := OIDC{IssuerURL: "https://issuer", ClientID: "dhow"}
		edit(&o)
		return Options{OIDC: o}
	}
	for want, o := range map[string]Options{
		"--client-ca-file":  {ClientCAFile: filepath.Join(dir, "absent")},
		"--token-auth-file": {TokenFile: filepath.Join(dir, "absent")},
		bad:                 {ConfigFile: bad},
		"--authentication-token-webhook-config-file":                         {Webhook: Webhook{ConfigFile: filepath.Join(dir, "absent")}},
		"--authentication-token-webhook-version":                             {Webhook: Webhook{Version: "v2"}},
		"--requestheader-username-headers: empty value":                      {RequestHeader: RequestHeader{UsernameHeaders: []string{" "}}},
		"--authentication-config and --oidc-* are mutually exclusive":        {ConfigFile: bad, OIDC: OIDC{GroupsClaim: "g"}},
		"must be specified together":                                         oidc(func(o *OIDC) { o.ClientID = "" }),
		`--oidc-signing-algs "none": must be one of`:                         oidc(func(o *OIDC) { o.SigningAlgorithms = []string{"none"} }),
		`--oidc-issuer-url: Invalid value: "http://x"`:                       oidc(func(o *OIDC) { o.IssuerURL = "http://x" }),
		`--oidc-issuer-url: Invalid value: "https://kubernetes.default.svc"`: oidc(func(o *OIDC) { o.IssuerURL = "https://kubernetes.default.svc" }),
		"--oidc-ca-file: open":                                               oidc(func(o *OIDC) { o.CAFile = filepath.Join(dir, "absent") }),
		"--oidc-ca-file: Invalid value":                                      oidc(func(o *OIDC) { o.CAFile = bad }),
		"overlapping certificates":                                           {RequestHeader: RequestHeader{CAFile: ca}},
	} {
		c := conf
		c.Options = o
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}
