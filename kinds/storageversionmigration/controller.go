package storageversionmigration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"

	migrationv1 "k8s.io/api/storagemigration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"dhow/controller"
)

const (
	controllerName = "storage-version-migrator-controller"
	pageSize       = 500
	// patience is how long a resource may be unknown: a custom one may just have been defined.
	patience  = time.Minute
	lookAgain = 5 * time.Second
	metadata  = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
)

// Controller migrates: it notes the version of the whole list, and then writes every older object as it is.
func Controller() controller.Controller {
	return controller.Controller{
		Name:    controllerName,
		Workers: 1,
		Reads:   []controller.Read{{Object: &migration{}}},
		Writes: []controller.Write{
			{Group: migrationv1.GroupName, Resources: []string{"storageversionmigrations/status"}, Verbs: []string{"update"}},
			{Group: "*", Resources: []string{"*"}, Verbs: []string{"list", "patch"}},
		},
		New: func(env controller.Env) controller.Reconciler { return &migrator{env} },
	}
}

type migrator struct{ env controller.Env }

// Reconcile implements controller.Reconciler.
func (m *migrator) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	found, err := m.env.Informers.Storagemigration().V1().StorageVersionMigrations().Lister().Get(key.Name)
	if err != nil || is(found, migrationv1.MigrationSucceeded) || is(found, migrationv1.MigrationFailed) {
		return controller.Result{}, ignoreMissing(err)
	}
	job := found.DeepCopy()
	target, err := m.find(job.Spec.Resource)
	switch {
	case errors.Is(err, errUnknown) && m.env.Now().Sub(job.CreationTimestamp.Time) < patience:
		return controller.Result{After: lookAgain}, nil
	case errors.Is(err, errUnknown):
		return controller.Result{}, m.finish(ctx, job, migrationv1.MigrationFailed, err)
	case err != nil:
		return controller.Result{}, err
	}
	if job.Status.ResourceVersion == "" { // what that changes brings us back
		return controller.Result{}, m.begin(ctx, job, target)
	}
	err = m.migrate(ctx, job.Status.ResourceVersion, target)
	switch {
	case err != nil && again(err):
		return controller.Result{}, err
	case err != nil:
		return controller.Result{}, m.finish(ctx, job, migrationv1.MigrationFailed, err)
	}
	return controller.Result{}, m.finish(ctx, job, migrationv1.MigrationSucceeded, nil)
}

var errUnknown = errors.New("unable to obtain GVR from discovery")

// target is where the objects of a resource are.
type target struct {
	root       string // /apis/apps/v1
	resource   string
	namespaced bool
}

func (t target) object(namespace, name string) string {
	if t.namespaced {
		return path.Join(t.root, "namespaces", namespace, t.resource, name)
	}
	return path.Join(t.root, t.resource, name)
}

// find looks for a resource in what the server serves, in its group's preferred version.
func (m *migrator) find(want metav1.GroupResource) (target, error) {
	lists, err := m.env.Client.Discovery().ServerPreferredResources()
	for _, list := range lists {
		gv, wrong := schema.ParseGroupVersion(list.GroupVersion)
		if wrong != nil || gv.Group != want.Group {
			continue
		}
		for _, r := range list.APIResources {
			if r.Name == want.Resource {
				root := "/apis/" + list.GroupVersion
				if gv.Group == "" {
					root = "/api/" + gv.Version
				}
				return target{root, r.Name, r.Namespaced}, nil
			}
		}
	}
	if err != nil { // some group could not be asked: it may be that one
		return target{}, err
	}
	return target{}, errUnknown
}

// page lists a part of the objects, by their metadata.
func (m *migrator) page(ctx context.Context, t target, limit int, next string) (*metav1.PartialObjectMetadataList, error) {
	data, err := m.env.Client.Discovery().RESTClient().Get().AbsPath(t.root, t.resource).SetHeader("Accept", metadata).
		Param("limit", strconv.Itoa(limit)).Param("continue", next).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	list := &metav1.PartialObjectMetadataList{}
	return list, json.Unmarshal(data, list)
}

// begin notes up to which version objects are to be written.
func (m *migrator) begin(ctx context.Context, job *migration, t target) error {
	list, err := m.page(ctx, t, 1, "")
	if err != nil {
		return err
	}
	job.Status.ResourceVersion = list.ResourceVersion
	return m.finish(ctx, job, migrationv1.MigrationRunning, nil)
}

func (m *migrator) migrate(ctx context.Context, upTo string, t target) error {
	next := ""
	for {
		list, err := m.page(ctx, t, pageSize, next)
		if err != nil {
			return err
		}
		for i := range list.Items {
			if err := m.rewrite(ctx, upTo, t, &list.Items[i]); err != nil {
				return err
			}
		}
		if next = list.Continue; next == "" {
			return nil
		}
	}
}

// rewrite writes one object as it is, unless somebody has written or deleted it since.
func (m *migrator) rewrite(ctx context.Context, upTo string, t target, obj *metav1.PartialObjectMetadata) error {
	if order, err := resourceversion.CompareResourceVersion(obj.ResourceVersion, upTo); err != nil || order > 0 {
		return err
	}
	same, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": obj.UID, "resourceVersion": obj.ResourceVersion}})
	if err != nil {
		return err
	}
	err = m.env.Client.Discovery().RESTClient().Patch(types.MergePatchType).AbsPath(t.object(obj.Namespace, obj.Name)).
		Param("fieldManager", controllerName).Body(same).Do(ctx).Error()
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// again says whether an error may pass.
func again(err error) bool {
	return apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err) ||
		apierrors.IsInternalError(err) || apierrors.IsTimeout(err) || apierrors.IsResourceExpired(err) || apierrors.ReasonForError(err) == metav1.StatusReasonUnknown
}

// finish writes the state that a migration has come to.
func (m *migrator) finish(ctx context.Context, job *migration, kind migrationv1.MigrationConditionType, why error) error {
	c := metav1.Condition{Type: string(kind), Status: metav1.ConditionTrue, LastTransitionTime: metav1.NewTime(m.env.Now())}
	switch kind {
	case migrationv1.MigrationFailed:
		c.Reason, c.Message = "StorageVersionMigrationFailed", fmt.Sprintf("migration encountered unhandled error: %s", why)
	case migrationv1.MigrationSucceeded:
		c.Reason = "StorageVersionMigrationSucceeded"
	default:
		c.Reason = "StorageVersionMigrationInProgress"
	}
	if kind != migrationv1.MigrationRunning && is(job, migrationv1.MigrationRunning) {
		ended := c
		ended.Type, ended.Status = string(migrationv1.MigrationRunning), metav1.ConditionFalse
		meta.SetStatusCondition(&job.Status.Conditions, ended)
	}
	meta.SetStatusCondition(&job.Status.Conditions, c)
	_, err := m.env.Client.StoragemigrationV1().StorageVersionMigrations().UpdateStatus(ctx, job, metav1.UpdateOptions{})
	return ignoreMissing(err)
}

func ignoreMissing(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
