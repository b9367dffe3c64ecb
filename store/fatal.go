package store

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"
)

// fatal is what etcd's logger does in place of ending the process without a word: it keeps the reason, so that Run
// can return it, and holds the goroutine that cannot go on, so that nothing more is written.
type fatal struct {
	log  *slog.Logger
	dir  string
	once sync.Once
	done chan struct{} // closed once err is set
	err  error
}

func newFatal(log *slog.Logger, dir string) *fatal {
	return &fatal{log: log, dir: dir, done: make(chan struct{})}
}

// logger is silent but for what etcd cannot live with.
func (f *fatal) logger() *zap.Logger {
	return zap.NewNop().WithOptions(zap.WithFatalHook(f), zap.WithPanicHook(f))
}

// OnWrite implements zapcore.CheckWriteHook. It never returns: etcd counts on that.
func (f *fatal) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	f.set(reason(entry.Message, fields))
	select {}
}

func reason(message string, fields []zapcore.Field) error {
	for _, field := range fields {
		if err, ok := field.Interface.(error); ok && field.Type == zapcore.ErrorType {
			return fmt.Errorf("%s: %w", message, err)
		}
	}
	return errors.New(message)
}

func (f *fatal) set(err error) {
	f.once.Do(func() {
		if errors.Is(err, unix.ENOSPC) {
			err = fmt.Errorf("%w: free some space and start dhow again, nothing stored is lost", err)
		}
		f.err = fmt.Errorf("store %s: etcd cannot go on: %w", f.dir, err)
		f.log.Error("the store failed", "err", f.err)
		close(f.done)
	})
}

// failed is the reason why etcd cannot go on, if it cannot.
func (f *fatal) failed() error {
	select {
	case <-f.done:
		return f.err
	default:
		return nil
	}
}

// newServer is etcdserver.NewServer with an error where that would end the process.
func (f *fatal) newServer(c config.ServerConfig) (*etcdserver.EtcdServer, error) {
	type result struct {
		server *etcdserver.EtcdServer
		err    error
	}
	made := make(chan result, 1)
	go func() {
		server, err := etcdserver.NewServer(c)
		made <- result{server, err}
	}()
	select {
	case r := <-made:
		if r.err != nil {
			return nil, fmt.Errorf("open store %s: %w", f.dir, r.err)
		}
		return r.server, nil
	case <-f.done:
		return nil, f.err
	}
}
