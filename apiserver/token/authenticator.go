package token

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/identity"
)

// Config of an Authenticator.
type Config struct {
	Keys *identity.ServiceAccountKeys
	Options
	// Informers are where accounts and what tokens are bound to are looked up.
	Informers informers.SharedInformerFactory
	// Client looks up what the informers do not know yet, and notes the use of secrets' tokens. It may be nil.
	Client kubernetes.Interface
}

// Authenticator believes tokens that one of the keys has signed while the account, and what they are bound to, live.
type Authenticator struct {
	config  Config
	objects *objects
	bound   *jwt.Parser
	legacy  *jwt.Parser
	metrics *metrics
}

// leeway is by how much clocks may differ, and how long what has been deleted still vouches.
const leeway = time.Minute

// NewAuthenticator makes one.
func NewAuthenticator(c Config) *Authenticator {
	c.Options = c.Options.Complete()
	methods := jwt.WithValidMethods([]string{"RS256", "ES256", "ES384", "ES512"})
	return &Authenticator{
		config: c, objects: newObjects(c), metrics: newMetrics(),
		bound:  jwt.NewParser(methods, jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway)),
		legacy: jwt.NewParser(methods, jwt.WithLeeway(leeway)),
	}
}

// AuthenticateToken implements authenticator.Token.
func (a *Authenticator) AuthenticateToken(ctx context.Context, text string) (*authenticator.Response, bool, error) {
	issuer := issuerOf(text)
	var u *user.DefaultInfo
	var audiences authenticator.Audiences
	var err error
	switch {
	case issuer == legacyIssuer:
		u, audiences, err = a.legacyToken(ctx, text)
	case slices.Contains(a.config.Issuers, issuer):
		u, audiences, err = a.boundToken(ctx, text)
	default:
		return nil, false, nil // somebody else's
	}
	if err != nil {
		return nil, false, err
	}
	return &authenticator.Response{User: u, Audiences: audiences}, true, nil
}

// issuerOf reads whose token it claims to be, unverified.
func issuerOf(text string) string {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(payload, &c) != nil {
		return ""
	}
	return c.Issuer
}

// key finds the keys that may have signed a token.
func (a *Authenticator) key(t *jwt.Token) (any, error) {
	id, _ := t.Header["kid"].(string)
	var set jwt.VerificationKeySet
	for _, k := range a.config.Keys.Verifying() {
		if method, err := methodOf(k.Public); err == nil && method.Alg() == t.Method.Alg() && (id == "" || k.ID == id) {
			set.Keys = append(set.Keys, k.Public)
		}
	}
	if len(set.Keys) == 0 {
		return nil, errors.New("invalid signature, no keys found")
	}
	return set, nil
}

func (a *Authenticator) boundToken(ctx context.Context, text string) (*user.DefaultInfo, authenticator.Audiences, error) {
	var c claims
	if _, err := a.bound.ParseWithClaims(text, &c, a.key); err != nil {
		return nil, nil, inWords(err)
	}
	audiences, err := a.audiences(ctx, c.Subject, authenticator.Audiences(c.Audience))
	if err != nil {
		return nil, nil, err
	}
	if err := a.stillHolds(ctx, c.Binding); err != nil {
		return nil, nil, err
	}
	if after := c.Binding.WarnAfter; after != nil {
		a.noteAge(ctx, c.Subject, after.Time)
	}
	return userInfo(c), audiences, nil
}

// inWords is what upstream says of a token that cannot be believed.
func inWords(err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return errors.New("service account token has expired")
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return errors.New("service account token is not valid yet")
	case errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return errors.New("service account token is issued in the future")
	}
	return fmt.Errorf("service account token: %w", err)
}

// audiences are those of a token that are asked for. A token for nobody in particular is for the API server.
func (a *Authenticator) audiences(ctx context.Context, subject string, of authenticator.Audiences) (authenticator.Audiences, error) {
	if len(of) == 0 {
		audit.AddAuditAnnotation(ctx, "authentication.k8s.io/legacy-token", subject)
		a.metrics.legacy.Inc()
		of = a.config.Audiences
	}
	wanted, ok := authenticator.AudiencesFrom(ctx)
	if !ok {
		wanted = a.config.Audiences
	}
	common := of.Intersect(wanted)
	if len(common) == 0 {
		return nil, fmt.Errorf("token audiences %q is invalid for the target audiences %q", of, wanted)
	}
	return common, nil
}

// noteAge tells of clients that do not read their token again.
func (a *Authenticator) noteAge(ctx context.Context, subject string, warnAfter time.Time) {
	now := time.Now()
	if !now.After(warnAfter) {
		a.metrics.valid.Inc()
		return
	}
	a.metrics.stale.Inc()
	audit.AddAuditAnnotation(ctx, "authentication.k8s.io/stale-token",
		fmt.Sprintf("subject: %s, seconds after warning threshold: %d", subject, now.Unix()-warnAfter.Unix()))
}

func userInfo(c claims) *user.DefaultInfo {
	info := &serviceaccount.ServiceAccountInfo{
		Name: c.Binding.ServiceAccount.Name, Namespace: c.Binding.Namespace, UID: string(c.Binding.ServiceAccount.UID),
	}
	if c.ID != "" {
		info.CredentialID = "JTI=" + c.ID
	}
	if p := c.Binding.Pod; p != nil {
		info.PodName, info.PodUID = p.Name, string(p.UID)
	}
	if n := c.Binding.Node; n != nil {
		info.NodeName, info.NodeUID = n.Name, string(n.UID)
	}
	u := info.UserInfo().(*user.DefaultInfo)
	u.Groups = slices.Clone(u.Groups)
	return u
}
