package dynamicadmission

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/restmapper"
)

const (
	// mapperLife is how long a kind that has changed or gone may be known as it was.
	mapperLife = 30 * time.Second
	// mapperRest is how long a kind that has just been defined may be unknown.
	mapperRest = time.Second
)

// mapper finds the resources of the kinds that policies take parameters from. For a kind that it does not know it looks
// again, but no more than once a mapperRest.
type mapper struct {
	*restmapper.DeferredDiscoveryRESTMapper

	mu     sync.Mutex
	looked time.Time
}

func newMapper(c Config) meta.RESTMapper {
	m := &mapper{DeferredDiscoveryRESTMapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.Client.Discovery()))}
	go wait.Until(m.Reset, mapperLife, c.Stop)
	return m
}

// RESTMapping implements meta.RESTMapper.
func (m *mapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	found, err := m.DeferredDiscoveryRESTMapper.RESTMapping(kind, versions...)
	if !meta.IsNoMatchError(err) || !m.mayLook() {
		return found, err
	}
	m.Reset()
	return m.DeferredDiscoveryRESTMapper.RESTMapping(kind, versions...)
}

func (m *mapper) mayLook() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.looked) < mapperRest {
		return false
	}
	m.looked = time.Now()
	return true
}

// lasting informers run as long as the server does. The library starts those of parameters for as long as a policy uses
// them; the whole process shares them, and what has been stopped does not start again.
type lasting struct {
	informers.SharedInformerFactory
	stop <-chan struct{}
}

// Start implements informers.SharedInformerFactory.
func (l lasting) Start(<-chan struct{}) { l.SharedInformerFactory.Start(l.stop) }
