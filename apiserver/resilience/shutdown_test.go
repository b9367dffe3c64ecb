package resilience

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
)

// gate is admission that holds the creation of what is called "held" until it is opened.
type gate struct{ open, held chan struct{} }

func newGate() *gate { return &gate{make(chan struct{}), make(chan struct{}, 1)} }

func (g *gate) plugins(kubernetes.Interface, informers.SharedInformerFactory) ([]admission.Interface, error) {
	return []admission.Interface{g}, nil
}

func (g *gate) Handles(o admission.Operation) bool { return o == admission.Create }

func (g *gate) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetName() == "held" {
		g.held <- struct{}{}
		<-g.open
	}
	return nil
}

// answer is what a request was answered.
type answer struct {
	code   int
	header http.Header
}

// code is what a request is answered, 0 if it is not.
func code(client *http.Client, method, url, body string) (int, http.Header) {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return 0, nil
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body) // to use the connection again
	return response.StatusCode, response.Header
}

// untilNot polls a URL until it is not answered 200, and returns what it is.
func untilNot(client *http.Client, url string) int {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if got, _ := code(client, http.MethodGet, url, ""); got != http.StatusOK {
			return got
		}
		<-tick.C
	}
}

func TestReadinessFailsFirstWhileAllElseIsAnswered(t *testing.T) {
	t.Parallel() // its end takes a while
	dir, address, wrong := t.TempDir(), apiservertest.FreeAddress(t), make(chan error, 1)
	slowEnd := func(c *apiserver.Config) {
		c.Limits = apiserver.DefaultLimits()
		c.Limits.ShutdownDelay = 15 * time.Second // enough for four requests on a busy machine
	}
	client := httpClient(t, apiservertest.Admin(t, dir, address))
	serve(t, dir, address, slowEnd, func(t *testing.T, c *apiservertest.Cluster) {
		if got, _ := code(client, http.MethodGet, "https://"+address+"/readyz", ""); got != http.StatusOK { // and the connection is there
			t.Fatalf("readyz: status %d", got)
		}
		go func() {
			if got := untilNot(client, "https://"+address+"/readyz"); got != http.StatusInternalServerError {
				wrong <- fmt.Errorf("readyz: status %d", got)
				return
			}
			for path, body := range map[string]string{mapsPath: "", mapsPath + "?": `{"metadata":{"name":"late"}}`, "/livez": ""} {
				method := http.MethodGet
				if body != "" {
					method = http.MethodPost
				}
				if got, _ := code(client, method, "https://"+address+path, body); got != http.StatusOK && got != http.StatusCreated {
					wrong <- fmt.Errorf("%s %s while it ends: status %d", method, path, got)
					return
				}
			}
			wrong <- nil
		}()
	})
	if err := <-wrong; err != nil {
		t.Error(err)
	}
}

func TestWatchesEndCleanly(t *testing.T) {
	dir, address := t.TempDir(), apiservertest.FreeAddress(t)
	ends := make(chan error, 2)
	serve(t, dir, address, nil, func(t *testing.T, c *apiservertest.Cluster) {
		create(t, c, "a")
		for _, protocol := range []string{"http/1.1", "h2"} {
			client := httpClient(t, apiservertest.Admin(t, dir, address), protocol)
			response, err := client.Get("https://" + address + mapsPath + "?watch=true&resourceVersion=0")
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(response.Body)
			if _, err := lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			go func() {
				defer response.Body.Close()
				_, err := lines.ReadString('\n')
				ends <- fmt.Errorf("%s: %w", protocol, err)
			}()
		}
	})
	for range 2 {
		if err := <-ends; !errors.Is(err, io.EOF) {
			t.Errorf("a watch ends with %v", err)
		}
	}
}

func TestWhileRequestsFinishOthersAreToldToComeBack(t *testing.T) {
	dir, address, g := t.TempDir(), apiservertest.FreeAddress(t), newGate()
	finished, refused := make(chan int, 1), make(chan answer, 1)
	edit := func(c *apiserver.Config) {
		c.Admission, c.Limits = g.plugins, apiserver.DefaultLimits()
		c.Limits.RefuseWhileEnding = true
	}
	under, other := httpClient(t, apiservertest.Admin(t, dir, address)), httpClient(t, apiservertest.Admin(t, dir, address), "http/1.1")
	serve(t, dir, address, edit, func(t *testing.T, c *apiservertest.Cluster) {
		go func() {
			got, _ := code(under, http.MethodPost, "https://"+address+mapsPath, `{"metadata":{"name":"held"}}`)
			finished <- got
		}()
		<-g.held
		go func() {
			defer close(g.open)
			for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
				got, header := code(other, http.MethodGet, "https://"+address+mapsPath, "")
				if got != http.StatusOK {
					tick.Stop()
					refused <- answer{got, header}
					return
				}
			}
		}()
	})
	if got := <-finished; got != http.StatusCreated {
		t.Errorf("the request under way: status %d", got)
	}
	if a := <-refused; a.code != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
		t.Errorf("another: %v", a)
	}
}

func TestClientsAreMadeToConnectAnew(t *testing.T) {
	c := apiservertest.Start(t, bare(), func(config *apiserver.Config) {
		config.Limits = apiserver.DefaultLimits()
		config.Limits.GoawayChance = 0.02
	})
	client, dialled := httpClient(t, c.Config), 0
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if !i.Reused {
			dialled++
		}
	}}
	for n := 0; dialled < 3; n++ {
		if n == 5000 {
			t.Fatalf("after %d requests %d connections", n, dialled)
		}
		request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, c.Config.Host+"/version", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Fatalf("status %s", response.Status)
		}
	}
}
