package deployment

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/validation"
)

// syncNew brings the current set's annotations up to date, and makes it if it is missing and mayCreate.
func (r *reconciler) syncNew(ctx context.Context, o *rollout, mayCreate bool) error {
	switch {
	case o.current != nil:
		return r.adjust(ctx, o, nextRevision(o))
	case mayCreate:
		return r.create(ctx, o, nextRevision(o))
	}
	return nil
}

// nextRevision is one more than that of any old set.
func nextRevision(o *rollout) int64 {
	last := int64(0)
	for _, rs := range o.old() {
		last = max(last, revisionOf(rs))
	}
	return last + 1
}

// adjust gives the set the Deployment's annotations and its place at the head of the history.
func (r *reconciler) adjust(ctx context.Context, o *rollout, revision int64) error {
	next := o.current.DeepCopy()
	annotate(next, o.d, revision)
	next.Spec.MinReadySeconds = o.d.Spec.MinReadySeconds
	if progressOf(&o.d.Status) == nil && hasDeadline(o.d) {
		o.progress = condition(appsv1.DeploymentProgressing, corev1.ConditionTrue, "FoundNewReplicaSet", fmt.Sprintf("Found new replica set %q", next.Name))
	}
	if apiequality.Semantic.DeepEqual(next, o.current) {
		return nil
	}
	return r.update(ctx, o, next)
}

// notCopied are annotations of the Deployment that its sets do not share.
var notCopied = []string{
	corev1.LastAppliedConfigAnnotation, revisionAnnotation, historyAnnotation, desiredAnnotation, maxAnnotation, appsv1.DeprecatedRollbackTo,
}

func annotate(rs *appsv1.ReplicaSet, d *appsv1.Deployment, revision int64) {
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	for name, value := range d.Annotations {
		if !slices.Contains(notCopied, name) {
			rs.Annotations[name] = value
		}
	}
	before := revisionOf(rs)
	if before >= revision {
		return
	}
	if before > 0 {
		rs.Annotations[historyAnnotation] = remember(rs.Annotations[historyAnnotation], before)
	}
	rs.Annotations[revisionAnnotation] = strconv.FormatInt(revision, 10)
}

// longestHistory is in characters.
const longestHistory = 2000

// remember puts a revision that the set has had at the end of its list, and forgets the first when that gets too long.
func remember(history string, revision int64) string {
	next := strconv.FormatInt(revision, 10)
	for history != "" && len(history)+1+len(next) > longestHistory {
		_, history, _ = strings.Cut(history, ",")
	}
	if history == "" {
		return next
	}
	return history + "," + next
}

// setScale notes by which sizes a set was last scaled.
func setScale(rs *appsv1.ReplicaSet, o *rollout) {
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	rs.Annotations[desiredAnnotation] = strconv.Itoa(int(o.replicas()))
	rs.Annotations[maxAnnotation] = strconv.Itoa(int(o.mostPods()))
}

// create makes the set of the present template. If another template has taken its name, the next hash is tried.
func (r *reconciler) create(ctx context.Context, o *rollout, revision int64) error {
	rs, err := newSet(o, revision)
	if err != nil {
		return err
	}
	sets := r.env.Client.AppsV1().ReplicaSets(o.d.Namespace)
	made, err := sets.Create(ctx, rs, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err):
		made, err = sets.Get(ctx, rs.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if owner := metav1.GetControllerOf(made); owner == nil || owner.UID != o.d.UID || !sameTemplate(&made.Spec.Template, &o.d.Spec.Template) {
			return r.collide(ctx, o)
		}
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return err
	case err != nil:
		message := fmt.Sprintf("Failed to create new replica set %q: %v", rs.Name, err)
		o.progress = condition(appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonNotMade, message)
		r.env.Event(o.d, corev1.EventTypeWarning, reasonNotMade, message)
		return err
	default:
		o.progress = condition(appsv1.DeploymentProgressing, corev1.ConditionTrue, "NewReplicaSetCreated", fmt.Sprintf("Created new replica set %q", made.Name))
		if size(made) > 0 {
			r.env.Event(o.d, corev1.EventTypeNormal, "ScalingReplicaSet", fmt.Sprintf("Scaled up replica set %s from 0 to %d", made.Name, size(made)))
		}
	}
	o.sets, o.current = append(o.sets, made), made
	return nil
}

func (r *reconciler) collide(ctx context.Context, o *rollout) error {
	count := int32(1)
	if o.d.Status.CollisionCount != nil {
		count += *o.d.Status.CollisionCount
	}
	o.d.Status.CollisionCount = &count
	updated, err := r.env.Client.AppsV1().Deployments(o.d.Namespace).UpdateStatus(ctx, o.d, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	o.d = updated
	return apierrors.NewConflict(appsv1.Resource("replicasets"), updated.Name, fmt.Errorf("the hash of the template of %s is taken; another is tried", o.d.Name))
}

func newSet(o *rollout, revision int64) (*appsv1.ReplicaSet, error) {
	d := o.d
	template := *d.Spec.Template.DeepCopy()
	hash, err := templateHash(&template, d.Status.CollisionCount)
	if err != nil {
		return nil, err
	}
	template.Labels = with(template.Labels, hash)
	selector := d.Spec.Selector.DeepCopy()
	selector.MatchLabels = with(selector.MatchLabels, hash)
	first := o.firstSize()
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: setName(d.Name, hash), Namespace: d.Namespace, Labels: template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, kind)},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: &first, MinReadySeconds: d.Spec.MinReadySeconds, Selector: selector, Template: template},
	}
	annotate(rs, d, revision)
	setScale(rs, o)
	return rs, nil
}

// setName cuts a long name of a Deployment so that the hash still fits.
func setName(name, hash string) string {
	return name[:min(len(name), validation.DNS1123SubdomainMaxLength-len(hash)-1)] + "-" + hash
}

func with(labels map[string]string, hash string) map[string]string {
	labels = maps.Clone(labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	return labels
}

// templateHash names a template; collisions tells templates of the same hash apart.
func templateHash(template *corev1.PodTemplateSpec, collisions *int32) (string, error) {
	data, err := json.Marshal(template)
	if err != nil {
		return "", err
	}
	h := fnv.New32a()
	h.Write(data)
	if collisions != nil {
		fmt.Fprint(h, *collisions)
	}
	return rand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10)), nil
}

// resize writes the sizes that differ, growth first, and notes them on all sets that have pods.
func (r *reconciler) resize(ctx context.Context, o *rollout, next sizes) error {
	sets := slices.Clone(o.sets)
	slices.SortStableFunc(sets, func(a, b *appsv1.ReplicaSet) int { return int(next[b.Name]-size(b)) - int(next[a.Name]-size(a)) })
	for _, rs := range sets {
		want, mentioned := next[rs.Name]
		if !mentioned {
			want = size(rs)
		}
		if err := r.scale(ctx, o, rs, want); err != nil {
			return err
		}
	}
	return nil
}

func (r *reconciler) scale(ctx context.Context, o *rollout, rs *appsv1.ReplicaSet, want int32) error {
	before := size(rs)
	if before == 0 && want == 0 {
		return nil
	}
	next := rs.DeepCopy()
	next.Spec.Replicas = &want
	setScale(next, o)
	if apiequality.Semantic.DeepEqual(next, rs) {
		return nil
	}
	if err := r.update(ctx, o, next); err != nil {
		return err
	}
	direction := "down"
	if want > before {
		direction = "up"
	}
	if want != before {
		r.env.Event(o.d, corev1.EventTypeNormal, "ScalingReplicaSet", fmt.Sprintf("Scaled %s replica set %s from %d to %d", direction, rs.Name, before, want))
	}
	return nil
}

// update writes a set and puts it in the place of the old one.
func (r *reconciler) update(ctx context.Context, o *rollout, next *appsv1.ReplicaSet) error {
	updated, err := r.env.Client.AppsV1().ReplicaSets(next.Namespace).Update(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	for i, rs := range o.sets {
		if rs.UID == updated.UID {
			if o.current == rs {
				o.current = updated
			}
			o.sets[i] = updated
		}
	}
	return nil
}

// cleanUpAfter is for when the rollout has ended.
func (r *reconciler) cleanUpAfter(ctx context.Context, o *rollout) error {
	if !o.complete() {
		return nil
	}
	return r.cleanUp(ctx, o)
}

func (r *reconciler) cleanUp(ctx context.Context, o *rollout) error {
	for _, rs := range o.excess() {
		err := r.env.Client.AppsV1().ReplicaSets(rs.Namespace).Delete(ctx, rs.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &rs.UID}})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
