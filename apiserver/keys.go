package apiserver

import (
	"encoding/json"
	"net/http"

	"dhow/apiserver/token"
)

// serveKeys publishes how others may check service-account tokens (OpenID Connect Discovery 1.0, section 3).
func (s *Server) serveKeys(m mux) {
	const keysPath = "/openid/v1/jwks"
	m.Handle("/.well-known/openid-configuration", document(func() (any, error) {
		return map[string]any{
			"issuer":                                token.Issuer,
			"jwks_uri":                              "https://" + s.config.Advertise.String() + keysPath,
			"response_types_supported":              []string{"id_token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{"ES256"},
		}, nil
	}))
	m.Handle(keysPath, document(func() (any, error) {
		key, err := token.PublicJWK(&s.config.Identity.ServiceAccountKey.PublicKey)
		return map[string]any{"keys": []token.JWK{key}}, err
	}))
}

// document serves what make returns as JSON.
func document(make func() (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		value, err := make()
		if err == nil {
			w.Header().Set("Content-Type", "application/json")
			err = json.NewEncoder(w).Encode(value)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}
