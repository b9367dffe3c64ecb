package encryption

import (
	"bytes"
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage/value"
)

// transformers are those of one Encryption.
type transformers struct{ e *Encryption }

// TransformerForResource implements value.ResourceTransformers.
func (t transformers) TransformerForResource(gr schema.GroupResource) value.Transformer {
	return &transformer{Transformer: t.e.active.TransformerForResource(gr), e: t.e, resource: gr}
}

// transformer encrypts as is wanted now, decrypts what the cluster's own keys have encrypted even if they are not
// wanted any more, and says so if it can decrypt something by none.
type transformer struct {
	value.Transformer
	e        *Encryption
	resource schema.GroupResource
	once     sync.Once
}

var ownPrefix = []byte("k8s:enc:secretbox:v1:dhow-")

// TransformFromStorage implements value.Transformer.
func (t *transformer) TransformFromStorage(ctx context.Context, data []byte, bound value.Context) ([]byte, bool, error) {
	if t.e.own != nil && bytes.HasPrefix(data, ownPrefix) {
		plain, _, err := t.e.own.TransformFromStorage(ctx, data, bound)
		return plain, true, err
	}
	plain, stale, err := t.Transformer.TransformFromStorage(ctx, data, bound)
	if err != nil {
		t.once.Do(func() {
			t.e.config.Log.Error("stored objects cannot be decrypted: start with the encryption configuration that has their key",
				"resource", t.resource.String(), "keys", t.e.path(), "err", err)
		})
	}
	return plain, stale, err
}
