// Package encryption keeps stored values secret: with the cluster's own key from the first start on, or as the
// administrator's EncryptionConfiguration says. It changes keys while the server runs, and survives its death at any
// moment of that. The ciphers are the apiserver library's.
package encryption

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig/controller"
	"k8s.io/apiserver/pkg/storage/value"
)

// Config of an Encryption.
type Config struct {
	// Dir holds the cluster's own keys (/var/lib/dhow/encryption), mode 0700.
	Dir string
	// File is an EncryptionConfiguration that is used in place of them, if set; they still decrypt what they encrypted.
	File string
	// Reload reads File anew when it has changed.
	Reload bool
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// storage is where the values are.
type storage interface {
	// Rewrite encrypts anew what is not as it would be written now.
	Rewrite(ctx context.Context, done func()) (written int, err error)
	// Refuse excludes values that start with one of prefixes.
	Refuse(prefixes ...string)
}

// Encryption is how values are encrypted, now.
type Encryption struct {
	config Config
	hash   string // of File's content
	active *encryptionconfig.DynamicTransformers
	own    value.Transformer // what the cluster's own keys decrypt; nil if there are none
	jobs   chan job

	mu     sync.Mutex
	keys   keys
	status Status
}

// A job is done by Run.
type job struct {
	name          string
	do            func(context.Context, storage) error
	started, done chan error
}

func newJob(name string, do func(context.Context, storage) error) job {
	return job{name, do, make(chan error, 1), make(chan error, 1)}
}

// rewrites: it goes through all values, which may take a while.
func (j job) rewrites() bool { return j.name == "rotate-keys" || j.name == "reencrypt" }

// ErrBusy: one change at a time.
var ErrBusy = errors.New("keys are being changed already: see 'dhow secrets-encrypt status'")

const ownFile = "config.yaml"

// identity is the name under which the library counts its metrics.
const identity = "dhow"

// Open reads the keys in c.Dir, or makes the first, and File. Plug-ins that File names are asked until ctx ends.
func Open(ctx context.Context, c Config) (*Encryption, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	e := &Encryption{config: c, jobs: make(chan job)}
	e.status.Stage = StageStart
	var err error
	if e.keys, err = openKeys(c); err != nil {
		return nil, fmt.Errorf("encryption: %w", err)
	}
	path := e.path()
	if c.File != "" {
		if err := e.loadOwn(ctx); err != nil {
			return nil, err
		}
		path = c.File
	}
	loaded, err := encryptionconfig.LoadEncryptionConfig(ctx, path, true, identity)
	if err != nil {
		return nil, fmt.Errorf("encryption: %s: %w", path, err)
	}
	e.hash = loaded.EncryptionFileContentHash
	e.active = encryptionconfig.NewDynamicTransformers(loaded.Transformers, loaded.HealthChecks[0], func() {}, loaded.KMSCloseGracePeriod)
	return e, nil
}

// openKeys makes the first key unless the administrator brings others.
func openKeys(c Config) (keys, error) {
	path := filepath.Join(c.Dir, ownFile)
	k, err := readKeys(path)
	if !errors.Is(err, fs.ErrNotExist) || c.File != "" {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return k, err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return keys{}, err
	}
	first, err := newKey()
	if err != nil {
		return keys{}, err
	}
	k = keys{enabled: true}
	k.list = append(k.list, first)
	return k, k.write(path)
}

func (e *Encryption) path() string { return filepath.Join(e.config.Dir, ownFile) }

// loadOwn makes what decrypts with the cluster's own keys beside File.
func (e *Encryption) loadOwn(ctx context.Context) error {
	if len(e.keys.list) == 0 {
		return nil
	}
	loaded, err := encryptionconfig.LoadEncryptionConfig(ctx, e.path(), true, identity)
	if err != nil {
		return fmt.Errorf("encryption: %s: %w", e.path(), err)
	}
	e.own = loaded.Transformers[schema.GroupResource{Resource: "secrets"}]
	return nil
}

// Transformers encrypt and decrypt for the storage; nil if e is.
func (e *Encryption) Transformers() value.ResourceTransformers {
	if e == nil {
		return nil
	}
	return transformers{e}
}

// HealthChecks ask the plug-ins that the administrator's configuration names.
func (e *Encryption) HealthChecks() []healthz.HealthChecker {
	if e == nil || e.config.File == "" {
		return nil
	}
	return []healthz.HealthChecker{e.active}
}

// Run ends what a dead process has begun, and then does what Handler is asked for, until ctx ends.
func (e *Encryption) Run(ctx context.Context, values storage) {
	if e == nil {
		<-ctx.Done()
		return
	}
	var others sync.WaitGroup
	defer others.Wait()
	if e.config.File != "" && e.config.Reload {
		reload := controller.NewDynamicEncryptionConfiguration("encryption-provider-config", e.config.File, e.active, e.hash, identity)
		others.Go(func() { reload.Run(ctx) })
	}
	if e.config.File == "" && len(e.keys.list) > 1 {
		e.work(ctx, values, newJob("rotate-keys", e.finish))
	}
	for {
		select {
		case j := <-e.jobs:
			e.work(ctx, values, j)
		case <-ctx.Done():
			return
		}
	}
}

// work does a job and notes how it went.
func (e *Encryption) work(ctx context.Context, values storage, j job) {
	if j.rewrites() {
		e.mu.Lock()
		e.status.Stage, e.status.Seen = StageActive, 0
		e.mu.Unlock()
	}
	close(j.started)
	err := j.do(ctx, values)
	if err != nil && ctx.Err() == nil {
		e.config.Log.Error("encryption keys were not changed as asked", "action", j.name, "err", err)
	}
	e.mu.Lock()
	e.status.Error = ""
	if err != nil {
		e.status.Error = err.Error()
	}
	if e.status.Stage == StageActive {
		e.status.Stage = StageFinished
	}
	e.mu.Unlock()
	j.done <- err
}

// use makes k the keys, on disk first.
func (e *Encryption) use(ctx context.Context, k keys) error {
	if err := k.write(e.path()); err != nil {
		return err
	}
	loaded, err := encryptionconfig.LoadEncryptionConfig(ctx, e.path(), true, identity)
	if err != nil {
		return err
	}
	e.active.Set(loaded.Transformers, func() {}, loaded.HealthChecks[0], 0)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys = k
	return nil
}

// rotate encrypts all with a new key, and forgets the others.
func (e *Encryption) rotate(ctx context.Context, values storage) error {
	if !e.keys.enabled {
		return errors.New("encryption is disabled: enable it first")
	}
	next, err := newKey()
	if err != nil {
		return err
	}
	k := keys{enabled: true}
	k.list = append(append(k.list, next), e.keys.list...)
	if err := e.use(ctx, k); err != nil {
		return err
	}
	return e.finish(ctx, values)
}

// finish encrypts with the first key what is not, and then forgets the others. A write that took one of them before
// may still be on its way, so they are refused before the last look.
//
//	keys on disk   A      B A                     B A                        B
//	               |------|--- values: A, then B --|--- A refused, values: B --|
func (e *Encryption) finish(ctx context.Context, values storage) error {
	if err := e.rewrite(ctx, values); err != nil {
		return err
	}
	values.Refuse(prefixes(e.keys.list[1:])...)
	if err := e.rewrite(ctx, values); err != nil {
		return err
	}
	return e.use(ctx, keys{e.keys.enabled, e.keys.list[:1]})
}

// rewrite goes through all values until it finds none to encrypt anew.
func (e *Encryption) rewrite(ctx context.Context, values storage) error {
	for {
		n, err := values.Rewrite(ctx, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.status.Seen++
		})
		e.mu.Lock()
		e.status.Rewritten += n
		e.mu.Unlock()
		if err != nil || n == 0 {
			return err
		}
	}
}
