package persistentvolume

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/api/protection"
	"dhow/controller"
)

// Protection keeps deleted volumes until no claim is bound to them. Its keys are volumes.
func Protection() controller.Controller {
	return controller.Controller{
		Name:   "pv-protection-controller",
		Reads:  []controller.Read{{Object: &corev1.PersistentVolume{}, Keys: due}},
		Writes: []controller.Write{{Resources: []string{"persistentvolumes"}, Verbs: []string{"update"}}},
		New:    func(env controller.Env) controller.Reconciler { return &protector{env} },
	}
}

// due are the volumes at which a look is worth it.
func due(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	v := obj.(*corev1.PersistentVolume)
	if !protection.Due(v, protection.Volume) {
		return nil
	}
	return []types.NamespacedName{{Name: v.Name}}
}

type protector struct{ env controller.Env }

// Reconcile implements controller.Reconciler.
func (p *protector) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	v, err := p.env.Informers.Core().V1().PersistentVolumes().Lister().Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	finalizers, change, err := plan(v)
	if !change || err != nil {
		return controller.Result{}, err
	}
	v = v.DeepCopy()
	v.Finalizers = finalizers
	_, err = p.env.Client.CoreV1().PersistentVolumes().Update(ctx, v, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		err = nil
	}
	return controller.Result{}, err
}

// plan returns the finalizers that a volume should have, and whether that is a change.
func plan(v *corev1.PersistentVolume) ([]string, bool, error) {
	return protection.Plan(v, protection.Volume, func() (bool, error) { return v.Status.Phase == corev1.VolumeBound, nil })
}
