package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"dhow/image/names"
)

// ValidHost says what is wrong with a registry's address: it is a host name, perhaps with a port.
func ValidHost(host string) error {
	if _, err := name.NewRegistry(host, name.StrictValidation); err != nil || host == "" {
		return fmt.Errorf("%q is not a registry such as registry.example:5000", host)
	}
	return nil
}

// Login asks a registry whether it believes a user. Registries with a token service may answer with a token that is
// to be kept instead of the password.
func (f *File) Login(ctx context.Context, host, user, password string) (identityToken string, err error) {
	ref, err := name.ParseReference(host + "/login")
	if err != nil {
		return "", fmt.Errorf("%w: %w", names.ErrInvalid, err)
	}
	own, err := f.Own(ref, nil)
	if err != nil {
		return "", err
	}
	defer own.Close()
	reg := own.Ref.Context().Registry
	challenge, err := transport.Ping(ctx, reg, own.transport)
	if err != nil {
		return "", fmt.Errorf("login to %s: %w", host, err)
	}
	if strings.EqualFold(challenge.Scheme, "bearer") {
		token, err := own.token(ctx, challenge.Parameters, user, password)
		return token, explainLogin(host, err)
	}
	proof := authn.FromConfig(authn.AuthConfig{Username: user, Password: password})
	t, err := transport.NewWithContext(ctx, reg, proof, own.transport, nil)
	if err != nil {
		return "", explainLogin(host, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, reg.Scheme()+"://"+reg.RegistryStr()+"/v2/", nil)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Transport: t}).Do(r)
	if err != nil {
		return "", explainLogin(host, err)
	}
	defer resp.Body.Close()
	return "", explainLogin(host, transport.CheckError(resp, http.StatusOK))
}

func explainLogin(host string, err error) error {
	var refused *transport.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && (refused.StatusCode == http.StatusUnauthorized || refused.StatusCode == http.StatusForbidden):
		return fmt.Errorf("login to %s: %w: unauthorized: incorrect username or password", host, ErrUnauthorized)
	default:
		return fmt.Errorf("login to %s: %w", host, err)
	}
}

// token asks a token service as docker login does. Only some answer with a refresh token.
func (s *Source) token(ctx context.Context, challenge map[string]string, user, password string) (string, error) {
	realm, err := url.Parse(challenge["realm"])
	if err != nil || realm.Host == "" {
		return "", fmt.Errorf("the registry names no token service: realm is %q", challenge["realm"])
	}
	query := realm.Query()
	query.Set("service", challenge["service"])
	query.Set("account", user)
	query.Set("client_id", "dhow")
	query.Set("offline_token", "true")
	realm.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, realm.String(), nil)
	if err != nil {
		return "", err
	}
	r.SetBasicAuth(user, password)
	resp, err := (&http.Client{Transport: s.transport}).Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		return "", err
	}
	var answer struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, answerMost)).Decode(&answer); err != nil {
		return "", fmt.Errorf("token service: %w", err)
	}
	return answer.Refresh, nil
}

// Tags lists the tags of the source's repository.
func (s *Source) Tags(ctx context.Context) ([]string, error) {
	return remote.List(s.Ref.Context(), s.Options(ctx)...)
}
