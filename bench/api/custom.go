package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

const (
	objectsEach = 10
	customGroup = "bench.example.test"
	// customClients is how many make CRDs at a time, as an installation of several operators does.
	customClients = 4
)

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// customResources makes CRDs, and objects of each as soon as it is served; then it weighs the server again.
func customResources(t *table) error {
	n := t.sizes.crds
	name := fmt.Sprintf("CRDs: %d of %d objects each", n, objectsEach)
	if !t.wanted(name) {
		return nil
	}
	err := t.figure(name, "-", seconds, func(ctx context.Context, s *server) (float64, error) {
		config, err := s.config("")
		if err != nil {
			return 0, err
		}
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return 0, err
		}
		begin := time.Now()
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(customClients)
		for i := range n {
			group.Go(func() error { return custom(ctx, client, fmt.Sprintf("things%d", i)) })
		}
		err = group.Wait()
		return time.Since(begin).Seconds(), err
	})
	if err != nil {
		return err
	}
	return t.figure(fmt.Sprintf("CRDs: memory with %d more", n), "-", megabytes, settled)
}

func custom(ctx context.Context, c dynamic.Interface, plural string) error {
	if _, err := c.Resource(definitions).Create(ctx, definition(plural), metav1.CreateOptions{}); err != nil {
		return err
	}
	things := c.Resource(schema.GroupVersionResource{Group: customGroup, Version: "v1", Resource: plural}).Namespace("default")
	for i := range objectsEach {
		thing := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": customGroup + "/v1", "kind": kindOf(plural),
			"metadata": map[string]any{"name": fmt.Sprintf("thing-%d", i)}, "spec": map[string]any{"size": int64(i), "colour": "blue"},
		}}
		err := poll(ctx, plural+" to be served", func() error {
			_, err := things.Create(ctx, thing, metav1.CreateOptions{})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func kindOf(plural string) string { return "T" + plural[1:] }

func definition(plural string) *unstructured.Unstructured {
	properties := map[string]any{"colour": map[string]any{"type": "string"}, "size": map[string]any{"type": "integer", "minimum": int64(0)}}
	object := map[string]any{"type": "object", "properties": map[string]any{"spec": map[string]any{"type": "object", "properties": properties}}}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": plural + "." + customGroup},
		"spec": map[string]any{
			"group": customGroup, "scope": "Namespaced", "names": map[string]any{"plural": plural, "kind": kindOf(plural)},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": object},
			}},
		},
	}}
}
