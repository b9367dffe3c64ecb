package cli

import (
	"os"

	"github.com/spf13/pflag"

	"dhow/engine"
	"dhow/engine/flagtext"
)

func (f *containerFlags) registerStorage(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&f.volumes, "volume", "v", nil, "mount a volume or a directory, [SOURCE:]TARGET[:ro]")
	fs.StringArrayVar(&f.mounts, "mount", nil, "mount, type=bind|volume|tmpfs,source=…,target=…")
	fs.StringArrayVar(&f.tmpfs, "tmpfs", nil, "mount a file system in memory, TARGET[:size=…,mode=…]")
	fs.StringArrayVar(&f.volumesFrom, "volumes-from", nil, "mount what another container has, CONTAINER[:ro]")
	fs.BoolVar(&f.readOnly, "read-only", false, "the root cannot be written to")
	fs.StringVar(&f.shmSize, "shm-size", "", "size of /dev/shm (default 64m)")
	fs.StringVar(&f.volumeDriver, "volume-driver", "", "")
}

func (f *containerFlags) storage(spec *engine.Spec, p *problems) {
	dir, _ := os.Getwd() // empty: it has been removed, and matters to relative sources only
	for _, text := range f.volumes {
		m, err := flagtext.Volume(text, dir)
		p.add(err)
		spec.Mounts = append(spec.Mounts, m)
	}
	for _, text := range f.mounts {
		m, t, err := flagtext.Mount(text)
		p.add(err)
		if t != nil {
			spec.Extra.Tmpfs = append(spec.Extra.Tmpfs, *t)
			continue
		}
		spec.Mounts = append(spec.Mounts, m)
	}
	for _, text := range f.tmpfs {
		t, err := flagtext.Tmpfs(text)
		p.add(err)
		spec.Extra.Tmpfs = append(spec.Extra.Tmpfs, t)
	}
	spec.Extra.ShmSize = p.bytes("shm-size", f.shmSize)
}
