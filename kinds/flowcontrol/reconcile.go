package flowcontrol

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"
	"k8s.io/client-go/kubernetes"
)

func mandatorySchema(name string) *flowcontrolv1.FlowSchema {
	return named(bootstrap.MandatoryFlowSchemas, name)
}

// mandatoryLevel has its defaults.
func mandatoryLevel(name string) *flowcontrolv1.PriorityLevelConfiguration {
	found := named(bootstrap.MandatoryPriorityLevelConfigurations, name)
	if found != nil {
		found = found.DeepCopy()
		DefaultLevel(found)
	}
	return found
}

func named[T metav1.Object](all []T, name string) (found T) {
	if i := slices.IndexFunc(all, func(o T) bool { return o.GetName() == name }); i >= 0 {
		return all[i]
	}
	return found
}

// fieldManager is upstream's name for who writes these objects.
const fieldManager = "api-priority-and-fairness-config-producer-v1"

// Reconcile makes the mandatory and suggested objects that are missing, brings those up to date that nobody has changed,
// and deletes such as were suggested by an earlier version. Whoever sets the annotation apf.kubernetes.io/autoupdate-spec
// to "false" on a suggested object keeps their own.
func Reconcile(ctx context.Context, client kubernetes.Interface) error {
	flow := client.FlowcontrolV1()
	// Cached reads will do: what a stale one leads to, the next round mends.
	cached := metav1.ListOptions{ResourceVersion: "0"}
	schemas, err := flow.FlowSchemas().List(ctx, cached)
	if err != nil {
		return fmt.Errorf("list FlowSchemas: %w", err)
	}
	levels, err := flow.PriorityLevelConfigurations().List(ctx, cached)
	if err != nil {
		return fmt.Errorf("list PriorityLevelConfigurations: %w", err)
	}
	levelPlan := plan(pointers(levels.Items), bootstrap.MandatoryPriorityLevelConfigurations, bootstrap.SuggestedPriorityLevelConfigurations, reviseLevel)
	schemaPlan := plan(pointers(schemas.Items), bootstrap.MandatoryFlowSchemas, bootstrap.SuggestedFlowSchemas, reviseSchema)
	return errors.Join(apply(ctx, flow.PriorityLevelConfigurations(), levelPlan), apply(ctx, flow.FlowSchemas(), schemaPlan))
}

func pointers[T any](items []T) []*T {
	all := make([]*T, len(items))
	for i := range items {
		all[i] = &items[i]
	}
	return all
}

// changes are what one kind needs.
type changes[T metav1.Object] struct {
	create, update []T
	remove         []string
}

// plan compares. revise brings the spec of the first up to that of the second, and says whether it differed.
func plan[T metav1.Object](have, mandatory, suggested []T, revise func(have, want T) bool) changes[T] {
	var c changes[T]
	for _, want := range slices.Concat(mandatory, suggested) {
		i := slices.IndexFunc(have, func(o T) bool { return o.GetName() == want.GetName() })
		if i < 0 {
			c.create = append(c.create, want)
			continue
		}
		auto := updates(have[i]) || slices.ContainsFunc(mandatory, func(o T) bool { return o.GetName() == want.GetName() })
		changed := auto && revise(have[i], want)
		if mark(have[i], auto) || changed {
			c.update = append(c.update, have[i])
		}
	}
	for _, o := range have {
		known := func(w T) bool { return w.GetName() == o.GetName() }
		ours, err := strconv.ParseBool(o.GetAnnotations()[flowcontrolv1.AutoUpdateAnnotationKey])
		if err == nil && ours && !slices.ContainsFunc(mandatory, known) && !slices.ContainsFunc(suggested, known) {
			c.remove = append(c.remove, o.GetName())
		}
	}
	return c
}

// updates says whether an object follows the suggestions: as its annotation says, else if nobody has changed it.
func updates(o metav1.Object) bool {
	if auto, err := strconv.ParseBool(o.GetAnnotations()[flowcontrolv1.AutoUpdateAnnotationKey]); err == nil {
		return auto
	}
	return o.GetGeneration() == 1
}

// mark notes in the annotation whether an object follows, and says whether that is news.
func mark(o metav1.Object, auto bool) bool {
	annotations := o.GetAnnotations()
	if now, err := strconv.ParseBool(annotations[flowcontrolv1.AutoUpdateAnnotationKey]); err == nil && now == auto {
		return false
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[flowcontrolv1.AutoUpdateAnnotationKey] = strconv.FormatBool(auto)
	o.SetAnnotations(annotations)
	return true
}

func reviseSchema(have, want *flowcontrolv1.FlowSchema) bool {
	want = want.DeepCopy()
	DefaultSchema(want)
	differ := !equality.Semantic.DeepEqual(have.Spec, want.Spec)
	have.Spec = want.Spec
	return differ
}

// reviseLevel leaves an administrator's exemptions alone.
func reviseLevel(have, want *flowcontrolv1.PriorityLevelConfiguration) bool {
	want = want.DeepCopy()
	DefaultLevel(want)
	if want.Name == flowcontrolv1.PriorityLevelConfigurationNameExempt && have.Spec.Exempt != nil {
		want.Spec.Exempt = have.Spec.Exempt
	}
	differ := !equality.Semantic.DeepEqual(have.Spec, want.Spec)
	have.Spec = want.Spec
	return differ
}

type writer[T any] interface {
	Create(context.Context, T, metav1.CreateOptions) (T, error)
	Update(context.Context, T, metav1.UpdateOptions) (T, error)
	Delete(context.Context, string, metav1.DeleteOptions) error
}

// apply writes all at once: some twenty objects at a cluster's first start.
func apply[T metav1.Object](ctx context.Context, to writer[T], c changes[T]) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	try := func(name string, write func() error) {
		all.Go(func() {
			err := write()
			if err == nil || apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
				return // done, or somebody was faster
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, fmt.Errorf("flow control object %s: %w", name, err))
		})
	}
	for _, o := range c.create {
		try(o.GetName(), func() error {
			_, err := to.Create(ctx, o, metav1.CreateOptions{FieldManager: fieldManager})
			return err
		})
	}
	for _, o := range c.update {
		try(o.GetName(), func() error {
			_, err := to.Update(ctx, o, metav1.UpdateOptions{FieldManager: fieldManager})
			return err
		})
	}
	for _, name := range c.remove {
		try(name, func() error { return to.Delete(ctx, name, metav1.DeleteOptions{}) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// every is how often Maintain looks.
const every = time.Minute

// Maintain is Reconcile once a minute, until ctx ends.
func Maintain(ctx context.Context, client kubernetes.Interface, log *slog.Logger) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := Reconcile(ctx, client); err != nil && ctx.Err() == nil {
			log.Error("flow control objects could not be made", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
