package openapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/munnerz/goautoneg"
	"k8s.io/kube-openapi/pkg/handler3"
)

// Mux is where handlers are put.
type Mux interface {
	Handle(path string, h http.Handler)
	HandlePrefix(path string, h http.Handler)
}

// The formats of a document. Clients of old name protobuf with an @ that is no valid media type.
const (
	asJSON    = "application/json"
	asProtoV2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
	asProtoV3 = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
	oldV2     = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
	oldV3     = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
)

func (s *Service) handler(serve func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.first.Do(s.read)
		if err := serve(w, r); err != nil {
			s.config.Log.Error("api cannot be described", "path", r.URL.Path, "err", err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}

// wants picks the format that the client likes best, "" if it likes none.
func wants(r *http.Request, proto, old string) string {
	accept := r.Header.Get("Accept")
	if accept == "" {
		return asJSON
	}
	for _, clause := range goautoneg.ParseAccept(accept) {
		switch asked := clause.Type + "/" + clause.SubType; asked {
		case "*/*", "application/*", asJSON:
			return asJSON
		case proto, old:
			return proto
		}
	}
	return ""
}

// serveV3Index lists the documents of v3: one for each group version.
func (s *Service) serveV3Index(w http.ResponseWriter, r *http.Request) error {
	custom, err := s.custom()
	if err != nil {
		return err
	}
	index := handler3.OpenAPIV3Discovery{Paths: map[string]handler3.OpenAPIV3DiscoveryGroupVersion{}}
	for at, hash := range s.hashes {
		index.Paths[at] = handler3.OpenAPIV3DiscoveryGroupVersion{ServerRelativeURL: urlV3(at, hash)}
	}
	for at, url := range s.remote() {
		index.Paths[at] = handler3.OpenAPIV3DiscoveryGroupVersion{ServerRelativeURL: url}
	}
	for at, versions := range s.byPath(custom) {
		index.Paths[at] = handler3.OpenAPIV3DiscoveryGroupVersion{ServerRelativeURL: urlV3(at, s.customHash(versions))}
	}
	text, err := json.Marshal(index)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", asJSON)
	etag := sha256.Sum256(text)
	w.Header().Set("Etag", strconv.Quote(hex.EncodeToString(etag[:])))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
	return nil
}

func (s *Service) remote() map[string]string {
	if s.config.Remote == nil {
		return nil
	}
	return s.config.Remote()
}

func urlV3(at, hash string) string {
	return (&url.URL{Path: path.Join("/openapi/v3", at), RawQuery: "hash=" + hash}).String()
}

// serveV3 serves the document of one group version.
func (s *Service) serveV3(w http.ResponseWriter, r *http.Request) error {
	at := strings.TrimPrefix(r.URL.Path, "/openapi/v3/")
	hash, text, err := s.findV3(at)
	_, builtIn := s.hashes[at]
	if err != nil {
		return err
	}
	if text == nil {
		http.Error(w, fmt.Sprintf("nothing is served at %q", at), http.StatusNotFound)
		return nil
	}
	if asked := r.URL.Query().Get("hash"); asked != "" && asked != hash {
		http.Redirect(w, r, urlV3(at, hash), http.StatusMovedPermanently)
		return nil
	} else if asked != "" { // such a URL always gives the same
		w.Header().Set("Cache-Control", "public, immutable")
		w.Header().Set("Expires", time.Now().AddDate(1, 0, 0).Format(time.RFC1123))
	}
	switch format := wants(r, asProtoV3, oldV3); format {
	case asJSON:
		return s.serve(w, r, request{name: "v3 " + at, format: format, hash: hash, make: text, passing: !builtIn})
	case asProtoV3:
		return s.serve(w, r, request{name: "v3 proto " + at, format: format, hash: hash, passing: !builtIn, make: func() ([]byte, error) {
			plain, err := text()
			if err != nil {
				return nil, err
			}
			return handler3.ToV3ProtoBinary(plain)
		}})
	}
	w.WriteHeader(http.StatusNotAcceptable)
	return nil
}

// findV3 says how the document of a group version is made; nil if there is none.
func (s *Service) findV3(at string) (hash string, text func() ([]byte, error), err error) {
	if endpoints := s.find(at); endpoints != nil {
		return s.hashes[at], func() ([]byte, error) { return s.builtInV3(endpoints) }, nil
	}
	custom, err := s.custom()
	if err != nil {
		return "", nil, err
	}
	versions := s.byPath(custom)[at]
	if versions == nil {
		return "", nil, nil
	}
	return s.customHash(versions), func() ([]byte, error) { return s.customV3(versions) }, nil
}

// serveV2 serves the one document of v2.
func (s *Service) serveV2(w http.ResponseWriter, r *http.Request) error {
	custom, err := s.custom()
	if err != nil {
		return err
	}
	hash := s.whole + s.customHash(custom)
	switch format := wants(r, asProtoV2, oldV2); format {
	case asJSON:
		return s.serve(w, r, request{name: "v2", format: format, hash: hash, make: func() ([]byte, error) { return s.jsonV2(custom) }})
	case asProtoV2:
		return s.serve(w, r, request{name: "v2 proto", format: format, hash: hash, make: func() ([]byte, error) { return s.protoV2(custom) }})
	}
	w.WriteHeader(http.StatusNotAcceptable)
	return nil
}
