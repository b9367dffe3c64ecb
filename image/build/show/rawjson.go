package show

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// The lines of RawJSON are what buildkit calls the status of a solve.
type (
	status struct {
		Vertexes []vertex  `json:"vertexes,omitempty"`
		Logs     []logLine `json:"logs,omitempty"`
	}
	vertex struct {
		Digest    string     `json:"digest"`
		Name      string     `json:"name"`
		Started   *time.Time `json:"started,omitempty"`
		Completed *time.Time `json:"completed,omitempty"`
		Cached    bool       `json:"cached,omitempty"`
		Error     string     `json:"error,omitempty"`
	}
	logLine struct {
		Vertex    string    `json:"vertex"`
		Stream    int       `json:"stream"`
		Data      []byte    `json:"data"`
		Timestamp time.Time `json:"timestamp"`
	}
)

func (s *Step) digest() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", s.number, s.name))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// raw writes how a step is. The caller holds mu.
func (d *Display) raw(s *Step) {
	v := vertex{Digest: s.digest(), Name: s.name, Started: &s.begun, Cached: s.state == "CACHED"}
	if !s.ended.IsZero() {
		v.Completed = &s.ended
	}
	if s.state != "CACHED" {
		v.Error = s.state
	}
	d.json(status{Vertexes: []vertex{v}})
}

func (d *Display) rawLine(s *Step, line string) {
	d.json(status{Logs: []logLine{{Vertex: s.digest(), Stream: 1, Data: []byte(line + "\n"), Timestamp: time.Now()}}})
}

func (d *Display) json(s status) {
	e := json.NewEncoder(d.out)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // as all other output of a display
}
