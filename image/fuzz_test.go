package image

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"dhow/image/platform"
)

func FuzzManifest(f *testing.F) {
	digest := "sha256:" + strings.Repeat("0", 64)
	f.Add([]byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, manifestType,
		descriptor(configType, digest, 2), descriptor(layerType, digest, 1024))))
	f.Add([]byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, indexType, descriptor(manifestType, digest, 2))))
	f.Add([]byte(`{"layers":[{"size":-1}],"config":{"digest":"sha256:"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := parseManifest(types.OCIManifestSchema1, data); err == nil {
			for _, d := range m.Layers {
				if d.Size < 0 || !isDigest(d.Digest.String()) {
					t.Errorf("a layer %v was taken", d)
				}
			}
		}
		if h, err := ofIndex(data, platform.Here()); err == nil && h.Algorithm != "" && len(h.Hex) < 32 {
			t.Errorf("a digest %v was taken", h)
		}
	})
}

func FuzzConfig(f *testing.F) {
	digest := "sha256:" + strings.Repeat("0", 64)
	f.Add([]byte(`{"os":"linux","rootfs":{"type":"layers","diff_ids":["` + digest + `"]},"config":{"Env":["a=b"]},"history":[{}]}`))
	f.Add([]byte(`{"rootfs":{"diff_ids":["sha256:../../x"]}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := arrival{config: data, want: platform.Here(), layers: make([]incoming, 1)}.record()
		if err != nil {
			return
		}
		for _, id := range r.Layers {
			if !isDigest(id) {
				t.Errorf("layer %q was taken", id)
			}
		}
		if _, err := r.Spec(); err != nil {
			t.Error(err)
		}
	})
}
