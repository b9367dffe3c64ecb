package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const readRuns = 5

func gets(t *table) error {
	for _, clients := range []int{1, 64} {
		name := fmt.Sprintf("Pod gets, %d client(s)", clients)
		err := t.figure(name, "-", perSecond, func(ctx context.Context, s *server) (float64, error) {
			if err := account(ctx, s); err != nil {
				return 0, err
			}
			return rate(ctx, s, clients, t.sizes.creates, func(ctx context.Context, c *kubernetes.Clientset, _ int) error {
				_, err := c.CoreV1().Pods("default").Get(ctx, "first", metav1.GetOptions{})
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lists read all pods without decoding them: what is measured is the server.
func lists(t *table) error {
	const path = "/api/v1/namespaces/default/pods?"
	for _, l := range []struct{ name, accept, query string }{
		{"protobuf", protobuf, ""},
		{"protobuf, from the watch cache", protobuf, "resourceVersion=0"},
		{"JSON", runtime.ContentTypeJSON, ""},
		{"as a table", "application/json;as=Table;v=v1;g=meta.k8s.io", ""},
	} {
		err := t.figure(fmt.Sprintf("List of %d pods, %s", t.sizes.pods, l.name), "-", milliseconds, t.read(func(ctx context.Context, c *http.Client, host string) error {
			_, err := download(ctx, c, host+path+l.query, l.accept)
			return err
		}))
		if err != nil {
			return err
		}
	}
	if err := t.figure(fmt.Sprintf("List of %d pods, chunks of 500", t.sizes.pods), "-", milliseconds, chunks(t)); err != nil {
		return err
	}
	return t.figure(fmt.Sprintf("List of %d pods, streaming (WatchList)", t.sizes.pods), "-", milliseconds, streaming(t))
}

// read is the mean time of a read of all pods.
func (t *table) read(run func(context.Context, *http.Client, string) error) func(context.Context, *server) (float64, error) {
	return func(ctx context.Context, s *server) (float64, error) {
		if err := fill(ctx, s, t.sizes.pods); err != nil {
			return 0, err
		}
		config, err := s.config("")
		if err != nil {
			return 0, err
		}
		client, err := rest.HTTPClientFor(config)
		if err != nil {
			return 0, err
		}
		return repeat(readRuns, func() error { return run(ctx, client, config.Host) })
	}
}

func chunks(t *table) func(context.Context, *server) (float64, error) {
	return func(ctx context.Context, s *server) (float64, error) {
		if err := fill(ctx, s, t.sizes.pods); err != nil {
			return 0, err
		}
		c, err := s.client(protobuf)
		if err != nil {
			return 0, err
		}
		return repeat(readRuns, func() error {
			options := metav1.ListOptions{Limit: 500}
			for {
				list, err := c.CoreV1().Pods("default").List(ctx, options)
				if err != nil {
					return err
				}
				if options.Continue = list.Continue; options.Continue == "" {
					return nil
				}
			}
		})
	}
}

// streaming lists as informers do: a watch that sends what is there, up to a bookmark that says so.
func streaming(t *table) func(context.Context, *server) (float64, error) {
	return func(ctx context.Context, s *server) (float64, error) {
		if err := fill(ctx, s, t.sizes.pods); err != nil {
			return 0, err
		}
		c, err := s.client(protobuf)
		if err != nil {
			return 0, err
		}
		return repeat(readRuns, func() error { return stream(ctx, c) })
	}
}

func stream(ctx context.Context, c *kubernetes.Clientset) error {
	yes := true
	watch, err := c.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{
		SendInitialEvents: &yes, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	if err != nil {
		return err
	}
	defer watch.Stop()
	for event := range watch.ResultChan() {
		object, ok := event.Object.(metav1.Object)
		if ok && object.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
			return nil
		}
	}
	return errWatchEnded
}

// download reads an answer to its end.
func download(ctx context.Context, c *http.Client, url, accept string) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Accept", accept)
	response, err := c.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return n, err
}
