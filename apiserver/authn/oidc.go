package authn

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"
)

// OIDC is one OpenID Connect issuer, chosen by flags in place of a configuration file.
type OIDC struct {
	// IssuerURL and ClientID, the audience of its tokens, need each other; "" for no issuer.
	IssuerURL, ClientID string
	// CAFile holds the authorities of its certificate; those of this machine if "".
	CAFile string
	// UsernameClaim is sub if "". Without a UsernamePrefix names get the issuer's, unless the claim is email; "-" is no
	// prefix.
	UsernameClaim, UsernamePrefix string
	// GroupsClaim is "" for no groups.
	GroupsClaim, GroupsPrefix string
	// RequiredClaims must be in a token, with these values.
	RequiredClaims map[string]string
	// SigningAlgorithms are those that are believed; RS256 if empty.
	SigningAlgorithms []string
}

const noPrefix = "-"

func (o OIDC) given() bool { return !reflect.DeepEqual(o, OIDC{}) }

// check says what is wrong with the flags by themselves.
func (o OIDC) check(configFile string) error {
	var all []error
	switch {
	case !o.given():
		return nil
	case configFile != "":
		all = append(all, errors.New("--authentication-config and --oidc-* are mutually exclusive: the file can name the issuer"))
	case o.IssuerURL == "" || o.ClientID == "":
		all = append(all, errors.New("--oidc-issuer-url and --oidc-client-id must be specified together when any --oidc-* flag is set"))
	}
	known := oidc.AllValidSigningAlgorithms()
	slices.Sort(known)
	for _, a := range o.SigningAlgorithms {
		if !slices.Contains(known, a) {
			all = append(all, fmt.Errorf("--oidc-signing-algs %q: must be one of %s", a, strings.Join(known, ", ")))
		}
	}
	return errors.Join(all...)
}

// openOIDC believes the issuer of the flags.
func (a *Authentication) openOIDC() error {
	o := a.config.OIDC
	issuer, err := o.authenticator()
	if err != nil {
		return err
	}
	config := &apiserver.AuthenticationConfiguration{JWT: []apiserver.JWTAuthenticator{issuer}}
	wrong := validation.ValidateAuthenticationConfiguration(authenticationcel.NewDefaultCompiler(), config, a.config.Issuers)
	if err := wrong.ToAggregate(); err != nil {
		return errors.New(asFlags.Replace(err.Error()))
	}
	algorithms := o.SigningAlgorithms
	if len(algorithms) == 0 {
		algorithms = []string{"RS256"}
	}
	a.jwt = &jwt{issuers: a.config.Issuers, server: a.config.ServerID, algorithms: algorithms, config: config}
	return nil
}

// asFlags names what is wrong as the user has typed it.
var asFlags = strings.NewReplacer(
	"jwt[0].issuer.url", "--oidc-issuer-url", "jwt[0].issuer.audiences[0]", "--oidc-client-id",
	"jwt[0].issuer.certificateAuthority", "--oidc-ca-file", "jwt[0].claimValidationRules", "--oidc-required-claim",
	"jwt[0].claimMappings.username.prefix", "--oidc-username-prefix", "jwt[0].claimMappings.username", "--oidc-username-claim",
	"jwt[0].claimMappings.groups.prefix", "--oidc-groups-prefix", "jwt[0].claimMappings.groups", "--oidc-groups-claim",
)

// authenticator is what a configuration file would say.
func (o OIDC) authenticator() (apiserver.JWTAuthenticator, error) {
	claim := o.UsernameClaim
	if claim == "" {
		claim = "sub"
	}
	prefix := o.UsernamePrefix
	switch {
	case prefix == noPrefix:
		prefix = ""
	case prefix == "" && claim != "email": // other claims of one issuer may be those of another
		prefix = o.IssuerURL + "#"
	}
	j := apiserver.JWTAuthenticator{
		Issuer:        apiserver.Issuer{URL: o.IssuerURL, Audiences: []string{o.ClientID}},
		ClaimMappings: apiserver.ClaimMappings{Username: apiserver.PrefixedClaimOrExpression{Claim: claim, Prefix: &prefix}},
	}
	if o.GroupsClaim != "" {
		j.ClaimMappings.Groups = apiserver.PrefixedClaimOrExpression{Claim: o.GroupsClaim, Prefix: &o.GroupsPrefix}
	}
	for _, name := range slices.Sorted(maps.Keys(o.RequiredClaims)) {
		j.ClaimValidationRules = append(j.ClaimValidationRules, apiserver.ClaimValidationRule{Claim: name, RequiredValue: o.RequiredClaims[name]})
	}
	if o.CAFile == "" {
		return j, nil
	}
	ca, err := os.ReadFile(o.CAFile)
	if err != nil {
		return j, fmt.Errorf("--oidc-ca-file: %w", err)
	}
	j.Issuer.CertificateAuthority = string(ca)
	return j, nil
}
