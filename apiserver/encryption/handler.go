package encryption

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Path is where Handler stands; only administrators get there.
const Path = "/dhow/secrets-encrypt"

// The stages that a Status tells, k3s' words.
const (
	StageStart    = "start"
	StageActive   = "reencrypt_active"
	StageFinished = "reencrypt_finished"
)

// Status is what Handler tells.
type Status struct {
	Enabled bool   `json:"enabled"`
	Stage   string `json:"stage"`
	// File is the administrator's configuration, if it is in use.
	File string `json:"file,omitempty"`
	// Keys are the cluster's own.
	Keys []KeyStatus `json:"keys,omitempty"`
	// Seen counts values in the pass under way, Rewritten those encrypted anew since the start.
	Seen      int `json:"seen"`
	Rewritten int `json:"rewritten"`
	// Error is why the last change failed.
	Error string `json:"error,omitempty"`
}

// KeyStatus is one key, without its secret.
type KeyStatus struct {
	Active bool   `json:"active"`
	Type   string `json:"type"`
	Name   string `json:"name"`
}

// Status is how values are encrypted now.
func (e *Encryption) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.status
	s.Enabled, s.File = e.keys.enabled, e.config.File
	if s.File != "" {
		s.Enabled = true
	}
	for i, k := range e.keys.list {
		s.Keys = append(s.Keys, KeyStatus{Active: i == 0 && e.keys.enabled && s.File == "", Type: "XSalsa20-POLY1305", Name: k.Name})
	}
	return s
}

// Handler tells the Status (GET Path) and changes it (POST Path/enable, disable, rotate-keys, reencrypt). The last two go
// on after they are answered.
func (e *Encryption) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		action := strings.Trim(strings.TrimPrefix(r.URL.Path, Path), "/")
		if action != "" {
			if r.Method != http.MethodPost {
				http.Error(w, "use POST", http.StatusMethodNotAllowed)
				return
			}
			if err := e.change(r.Context(), action); err != nil {
				http.Error(w, err.Error(), statusOf(err))
				return
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(e.Status()) // the client has gone away
	})
}

// errUnknown: there is no such action.
var errUnknown = errors.New("unknown action")

func statusOf(err error) int {
	switch {
	case errors.Is(err, errUnknown):
		return http.StatusNotFound
	case errors.Is(err, ErrBusy):
		return http.StatusConflict
	default:
		return http.StatusBadRequest
	}
}

// change hands an action to Run, and waits for those that are quick.
func (e *Encryption) change(ctx context.Context, action string) error {
	actions := map[string]func(context.Context, storage) error{
		"enable":      e.switchTo(true),
		"disable":     e.switchTo(false),
		"rotate-keys": e.rotate,
		"reencrypt":   e.rewrite,
	}
	do := actions[action]
	if do == nil {
		return fmt.Errorf("%w %q", errUnknown, action)
	}
	if e.config.File != "" && action != "reencrypt" {
		return fmt.Errorf("the keys are those of %s: change that file, then 'dhow secrets-encrypt reencrypt'", e.config.File)
	}
	j := newJob(action, do)
	select {
	case e.jobs <- j:
	default:
		return ErrBusy
	}
	if j.rewrites() {
		<-j.started
		return nil
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// switchTo says whether values written from now on are encrypted.
func (e *Encryption) switchTo(enabled bool) func(context.Context, storage) error {
	return func(ctx context.Context, _ storage) error { return e.use(ctx, keys{enabled, e.keys.list}) }
}
