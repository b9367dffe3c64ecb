package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// watchRuntime nudges workers when something has happened to their containers.
func (n *Node) watchRuntime(ctx context.Context) {
	for ctx.Err() == nil {
		events := n.config.Runtime.Events(ctx)
		n.nudgeAll() // of what was missed
		for e := range events {
			if w := n.worker(types.UID(e.PodSandboxStatus.GetLabels()[labelPodUID])); w != nil {
				w.nudge()
			}
		}
	}
}

func (n *Node) nudgeAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.workers {
		w.nudge()
	}
}

// refreshEvery is how often files are looked at without a cause: tokens grow old.
const refreshEvery = time.Minute

// watchFiles has pods' files follow their ConfigMaps and Secrets.
func (n *Node) watchFiles(ctx context.Context) {
	changed := cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(before, after any) {
			if versionOf(before) != versionOf(after) {
				n.noteFiles()
			}
		},
		AddFunc:    func(any) { n.noteFiles() },
		DeleteFunc: func(any) { n.noteFiles() },
	}
	core := n.config.Informers.Core().V1()
	for _, informer := range []cache.SharedIndexInformer{core.ConfigMaps().Informer(), core.Secrets().Informer()} {
		registration, err := informer.AddEventHandler(changed)
		if err != nil {
			return // the informer has ended, and so will ctx
		}
		defer func() { _ = informer.RemoveEventHandler(registration) }()
	}
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n.nudgeAll()
		case <-n.changed:
			n.nudgeUsers()
		case <-ctx.Done():
			return
		}
	}
}

func versionOf(obj any) string {
	if m, ok := obj.(interface{ GetResourceVersion() string }); ok {
		return m.GetResourceVersion()
	}
	return ""
}

func (n *Node) noteFiles() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// nudgeUsers wakes the workers of pods that use ConfigMaps or Secrets.
func (n *Node) nudgeUsers() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.workers {
		if w.usesFiles() {
			w.nudge()
		}
	}
}

func (w *worker) usesFiles() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range w.pod.Spec.Volumes {
		if v.ConfigMap != nil || v.Secret != nil || v.Projected != nil {
			return true
		}
	}
	for _, c := range w.pod.Spec.Containers {
		if len(c.Env) > 0 || len(c.EnvFrom) > 0 {
			return true
		}
	}
	return false
}

// cleanUpOrphans removes what is left on this machine of pods that were deleted while no agent ran.
func (n *Node) cleanUpOrphans(ctx context.Context) error {
	known, err := n.knownPods()
	if err != nil {
		return err
	}
	sandboxes, err := n.config.Runtime.ListPodSandbox(ctx, &cri.PodSandboxFilter{})
	if err != nil {
		return err
	}
	var failed error
	for _, s := range sandboxes {
		uid := s.Labels[labelPodUID]
		if uid == "" || known[uid] {
			continue
		}
		failed = errors.Join(failed, n.config.Runtime.RemovePodSandbox(ctx, s.Id))
	}
	return errors.Join(failed, n.cleanUpDirs(known))
}

func (n *Node) knownPods() (map[string]bool, error) {
	pods, err := n.pods.List(everything)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, pod := range pods {
		if pod.Spec.NodeName == n.config.Name {
			known[string(pod.UID)] = true
		}
	}
	static, _ := n.readManifests() // what is wrong with them is told by followManifests
	for uid := range static {
		known[string(uid)] = true
	}
	return known, nil
}

// cleanUpDirs removes the volumes of pods that are gone.
func (n *Node) cleanUpDirs(known map[string]bool) error {
	entries, err := os.ReadDir(n.config.Volumes)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var failed error
	for _, e := range entries {
		if !known[e.Name()] {
			failed = errors.Join(failed, n.tearDownVolumes(filepath.Join(n.config.Volumes, e.Name())))
		}
	}
	return failed
}
