package node

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// worker runs one pod, by its UID, from its first sight to its last trace. One goroutine looks at the pod when
// something has happened to it, and makes what is so into what should be.
type worker struct {
	node *Node
	uid  types.UID
	wake chan struct{}
	// static: the pod comes from a manifest on this machine; a mirror stands for it in the API.
	static bool

	mu        sync.Mutex
	pod       *corev1.Pod        // as the API last had it; never nil
	removed   bool               // the API has it no longer
	unseen    bool               // a static pod's mirror has gone
	cancel    context.CancelFunc // ends the pass under way; nil between passes
	unhealthy map[string]string  // containers to be ended, by id, and why

	// What follows belongs to the goroutine.
	reported     *corev1.PodStatus     // what was last written
	reportedOver string                // the resource version that it replaced
	waiting      map[string]waitReason // why a container does not run, by its name
	restarts     map[string]*backOff   // by container
	pulls        map[string]*backOff   // by image
	lastPull     map[string]error      // by image, of those in back-off
	refs         map[string]string     // how to name images, by id
	stopping     map[string]bool       // containers that have been told to end, by id
	hooked       map[string]bool       // containers whose postStart hook has run, by id
	probes       *prober
	failure      *podFailure // ends the pod whatever its containers do
	finished     bool        // the pod has ended; its sandbox and volumes are gone
}

// podFailure is why a pod was ended.
type podFailure struct{ reason, message string }

func (n *Node) newWorker(pod *corev1.Pod) *worker {
	w := &worker{
		node: n, uid: pod.UID, wake: make(chan struct{}, 1), pod: pod,
		waiting: map[string]waitReason{}, restarts: map[string]*backOff{}, pulls: map[string]*backOff{}, lastPull: map[string]error{},
		refs: map[string]string{}, stopping: map[string]bool{}, unhealthy: map[string]string{}, hooked: map[string]bool{},
	}
	w.probes = newProber(n, w)
	return w
}

// nudge has the worker look at its pod soon.
func (w *worker) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// followPods gives every pod that is bound to this node a worker, and tells workers of changes.
func (n *Node) followPods(ctx context.Context) (cache.ResourceEventHandlerRegistration, error) {
	registration, err := n.podEvents.AddEventHandler(cache.FilteringResourceEventHandler{
		FilterFunc: func(obj any) bool { return n.isMine(obj) },
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { n.podChanged(ctx, obj.(*corev1.Pod)) },
			UpdateFunc: func(_, obj any) { n.podChanged(ctx, obj.(*corev1.Pod)) },
			DeleteFunc: func(obj any) { n.podGone(obj) },
		},
	})
	if err != nil {
		return nil, err
	}
	if !cache.WaitFor(ctx, "", registration.HasSyncedChecker()) {
		return registration, ctx.Err()
	}
	return registration, nil
}

func (n *Node) isMine(obj any) bool {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	pod, ok := obj.(*corev1.Pod)
	return ok && pod.Spec.NodeName == n.config.Name
}

func (n *Node) podChanged(ctx context.Context, pod *corev1.Pod) {
	if ctx.Err() != nil || isMirror(pod) {
		return
	}
	n.mu.Lock()
	w := n.workers[pod.UID]
	if w == nil {
		w = n.startWorker(ctx, pod, false)
	}
	n.mu.Unlock()
	w.update(pod)
}

// startWorker begins to look after a pod. The caller holds mu.
func (n *Node) startWorker(ctx context.Context, pod *corev1.Pod, static bool) *worker {
	w := n.newWorker(pod)
	w.static = static
	n.workers[pod.UID] = w
	n.running.Go(func() {
		w.run(ctx)
		n.mu.Lock()
		defer n.mu.Unlock()
		if ctx.Err() == nil {
			delete(n.workers, w.uid)
		}
	})
	return w
}

func (n *Node) podGone(obj any) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return
	}
	if isMirror(pod) {
		n.mirrorGone(pod)
	} else if w := n.worker(pod.UID); w != nil {
		w.remove()
	}
}

// mirrorGone has a static pod shown again.
func (n *Node) mirrorGone(mirror *corev1.Pod) {
	if w := n.worker(types.UID(mirror.Annotations[corev1.MirrorPodAnnotationKey])); w != nil {
		w.mu.Lock()
		w.unseen = true
		w.mu.Unlock()
		w.nudge()
	}
}

func (n *Node) worker(uid types.UID) *worker {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.workers[uid]
}

// update gives the worker the pod's newest form. A pass that a deletion makes pointless is cut short.
func (w *worker) update(pod *corev1.Pod) {
	w.mu.Lock()
	sooner := deadlineOf(pod).Before(deadlineOf(w.pod))
	w.pod = pod
	if sooner && w.cancel != nil {
		w.cancel()
	}
	w.mu.Unlock()
	w.nudge()
}

func (w *worker) remove() {
	w.mu.Lock()
	w.removed = true
	if w.cancel != nil {
		w.cancel()
	}
	w.mu.Unlock()
	w.nudge()
}

var forever = time.Unix(1<<40, 0)

// deadlineOf is when a pod is to be gone.
func deadlineOf(pod *corev1.Pod) time.Time {
	if pod.DeletionTimestamp == nil {
		return forever
	}
	return pod.DeletionTimestamp.Time
}

// begin starts a pass over the pod as it is now.
func (w *worker) begin(ctx context.Context) (context.Context, *corev1.Pod, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx, w.cancel = context.WithCancel(ctx)
	if w.unseen {
		w.reported, w.unseen = nil, false
	}
	return ctx, w.pod, w.removed
}

func (w *worker) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancel()
	w.cancel = nil
}

const retryFirst, retryMost = 100 * time.Millisecond, 10 * time.Second

// run passes over the pod until nothing is left of it.
func (w *worker) run(ctx context.Context) {
	defer w.probes.stop()
	timer := time.NewTimer(0)
	retry := retryFirst
	for {
		select {
		case <-w.wake:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		again, done, err := w.pass(ctx)
		if done {
			return
		}
		if err != nil && ctx.Err() == nil {
			w.node.log.Debug("a pass over a pod failed; it is done again", "pod", w.name(), "err", err)
			again, retry = retry, min(2*retry, retryMost)
		} else {
			retry = retryFirst
		}
		timer.Stop()
		if again > 0 {
			timer.Reset(again)
		}
	}
}

func (w *worker) name() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pod.Namespace + "/" + w.pod.Name
}

// pass makes what is into what should be once. again asks for another after a while.
func (w *worker) pass(ctx context.Context) (again time.Duration, done bool, err error) {
	ctx, pod, removed := w.begin(ctx)
	defer w.end()
	switch {
	case removed:
		err = w.purge(ctx, pod)
		return 0, err == nil, err
	case pod.DeletionTimestamp != nil:
		return 0, false, w.terminate(ctx, pod)
	default:
		again, err = w.sync(ctx, pod)
		return again, false, err
	}
}
