package openapi

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"log/slog"
	"slices"
	"strings"
	"sync"

	restful "github.com/emicklei/go-restful/v3"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Config says what to describe.
type Config struct {
	// BuiltIn hold the endpoints of API groups; where two have the same path the first counts. They are read at the
	// first request, so that endpoints may be added until then.
	BuiltIn []*restful.Container
	// Custom lists the definitions of custom resources as they are now.
	Custom func() ([]*apiextensionsv1.CustomResourceDefinition, error)
	// Remote says where other servers' group versions are described, by paths such as "apis/apps/v1"; it may be nil.
	Remote func() map[string]string
	// Version of the API, "v1.37.2".
	Version string
	Log     *slog.Logger
}

// Service answers requests below /openapi.
type Service struct {
	config Config

	first   sync.Once
	builtIn []*restful.WebService // by path
	hashes  map[string]string     // of built-in endpoints, by group version as in "apis/apps/v1"
	whole   string                // hash of all of them

	mu        sync.Mutex // held while a document is made, so that memory is needed for one at a time
	documents map[string]document
	said      map[string]bool // names in the built-in part of v2
}

// New makes a Service.
func New(c Config) *Service {
	return &Service{config: c, documents: map[string]document{}}
}

// Install serves documents below /openapi.
func (s *Service) Install(m Mux) {
	m.Handle("/openapi/v2", s.handler(s.serveV2))
	m.Handle("/openapi/v3", s.handler(s.serveV3Index))
	m.HandlePrefix("/openapi/v3/", s.handler(s.serveV3))
}

// read finds the built-in endpoints, and their hashes: a client keeps a document while its hash stays.
func (s *Service) read() {
	seen := map[string]bool{}
	s.hashes = map[string]string{}
	for _, c := range s.config.BuiltIn {
		for _, endpoints := range c.RegisteredWebServices() {
			path := strings.TrimPrefix(endpoints.RootPath(), "/")
			if path == "" || seen[path] {
				continue
			}
			seen[path] = true
			s.builtIn = append(s.builtIn, endpoints)
		}
	}
	slices.SortFunc(s.builtIn, func(a, b *restful.WebService) int { return strings.Compare(a.RootPath(), b.RootPath()) })
	types := sha256.Sum256(packed)
	whole := s.newHash(types[:])
	for _, endpoints := range s.builtIn {
		one := s.newHash(types[:])
		for _, route := range endpoints.Routes() {
			fmt.Fprintln(one, route.Method, route.Path, route.Consumes)
		}
		path := strings.TrimPrefix(endpoints.RootPath(), "/")
		s.hashes[path] = sum(one)
		fmt.Fprintln(whole, path, s.hashes[path])
	}
	s.whole = sum(whole)
}

func (s *Service) newHash(types []byte) hash.Hash {
	h := sha256.New()
	fmt.Fprintln(h, s.config.Version)
	h.Write(types)
	return h
}

func sum(h hash.Hash) string { return strings.ToUpper(hex.EncodeToString(h.Sum(nil))) }

// find returns built-in endpoints by their path, or nil.
func (s *Service) find(path string) *restful.WebService {
	for _, endpoints := range s.builtIn {
		if endpoints.RootPath() == "/"+path {
			return endpoints
		}
	}
	return nil
}
