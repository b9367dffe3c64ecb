package apiserver

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"sync"

	"dhow/apiserver/token"
	"dhow/internal/follow"
)

const keysPath = "/openid/v1/jwks"

// keysAge is how long others may keep the keys, in seconds: as long a new one may be unknown to them.
const keysAge = "60"

// serveKeys publishes how others may check service-account tokens (OpenID Connect Discovery 1.0, section 3), unless the
// issuer is no URL by which that could be found.
func (s *Server) serveKeys(m mux) {
	accounts := s.config.ServiceAccounts.Complete()
	issuer, err := url.Parse(accounts.Issuers[0])
	if err != nil || issuer.Scheme != "https" || issuer.RawQuery != "" || issuer.Fragment != "" {
		s.config.Log.Warn("service-account keys are not published: the issuer is no https URL", "issuer", accounts.Issuers[0])
		return
	}
	keysURI := accounts.JWKSURI
	if keysURI == "" {
		keysURI = "https://" + s.config.Advertise.String() + keysPath
	}
	keys := func() (token.JWKS, error) {
		return token.PublicKeys(s.config.Identity.ServiceAccountKeys.Verifying())
	}
	m.Handle("/.well-known/openid-configuration", document("application/json", func() (any, error) {
		set, err := keys()
		return map[string]any{
			"issuer":                                accounts.Issuers[0],
			"jwks_uri":                              keysURI,
			"response_types_supported":              []string{"id_token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": set.Algorithms(),
		}, err
	}))
	m.Handle(keysPath, document("application/jwk-set+json", func() (any, error) { return keys() }))
}

// document serves what make returns as JSON.
func document(contentType string, make func() (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		value, err := make()
		if err == nil {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Cache-Control", "public, max-age="+keysAge)
			err = json.NewEncoder(w).Encode(value)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}

// followKeys takes new keys of service-account tokens when their files change.
func (s *Server) followKeys(ctx context.Context) {
	keys := s.config.Identity.ServiceAccountKeys
	var running sync.WaitGroup
	defer running.Wait()
	for _, path := range keys.Files() {
		data, _ := os.ReadFile(path) // that of retired keys may be absent; what was opened could be read
		file := &follow.File{Path: path, Data: data, Optional: true, Log: s.config.Log,
			Apply: func(context.Context, []byte) error { return keys.Reload() }}
		running.Go(func() { file.Run(ctx) })
	}
}
