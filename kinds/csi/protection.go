package csi

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"dhow/api/protection"
	"dhow/controller"
)

// Protection keeps deleted VolumeAttributesClasses until no volume and no claim names them. Its keys are classes.
func Protection() controller.Controller {
	return controller.Controller{
		Name: "volumeattributesclass-protection-controller",
		Reads: []controller.Read{
			{Object: &storagev1.VolumeAttributesClass{}, Keys: due},
			{Object: &corev1.PersistentVolumeClaim{}, Keys: left(classesOfClaim)},
			{Object: &corev1.PersistentVolume{}, Keys: left(classesOfVolume)},
		},
		Writes: []controller.Write{{Group: storagev1.GroupName, Resources: []string{"volumeattributesclasses"}, Verbs: []string{"update"}}},
		New:    func(env controller.Env) controller.Reconciler { return &protector{env} },
	}
}

// due are the classes at which a look is worth it.
func due(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	c := obj.(*storagev1.VolumeAttributesClass)
	if !protection.Due(c, protection.AttributesClass) {
		return nil
	}
	return []types.NamespacedName{{Name: c.Name}}
}

// left makes Keys of the classes that an object no longer names, or named at its end.
func left[T runtime.Object](classes func(T) []string) func(controller.Env, runtime.Object, runtime.Object) []types.NamespacedName {
	return func(_ controller.Env, obj, old runtime.Object) []types.NamespacedName {
		had, kept := classes(obj.(T)), []string(nil)
		if before, changed := old.(T); changed {
			had, kept = classes(before), had
		}
		var keys []types.NamespacedName
		for _, name := range had {
			if !slices.Contains(kept, name) {
				keys = append(keys, types.NamespacedName{Name: name})
			}
		}
		return keys
	}
}

// classesOfClaim are those that a claim has, wants and is given.
func classesOfClaim(c *corev1.PersistentVolumeClaim) []string {
	all := []string{ptr.Deref(c.Spec.VolumeAttributesClassName, ""), ptr.Deref(c.Status.CurrentVolumeAttributesClassName, "")}
	if s := c.Status.ModifyVolumeStatus; s != nil {
		all = append(all, s.TargetVolumeAttributesClassName)
	}
	return named(all)
}

func classesOfVolume(v *corev1.PersistentVolume) []string {
	return named([]string{ptr.Deref(v.Spec.VolumeAttributesClassName, "")})
}

func named(all []string) []string {
	return slices.DeleteFunc(all, func(name string) bool { return name == "" })
}

type protector struct{ env controller.Env }

// Reconcile implements controller.Reconciler.
func (p *protector) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	c, err := p.env.Informers.Storage().V1().VolumeAttributesClasses().Lister().Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	finalizers, change, err := protection.Plan(c, protection.AttributesClass, func() (bool, error) { return p.used(key.Name) })
	if !change || err != nil {
		return controller.Result{}, err
	}
	c = c.DeepCopy()
	c.Finalizers = finalizers
	_, err = p.env.Client.StorageV1().VolumeAttributesClasses().Update(ctx, c, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		err = nil
	}
	return controller.Result{}, err
}

// used looks at all volumes and claims: classes go rarely.
func (p *protector) used(class string) (bool, error) {
	core := p.env.Informers.Core().V1()
	volumes, err := core.PersistentVolumes().Lister().List(labels.Everything())
	if err != nil {
		return false, err
	}
	claims, err := core.PersistentVolumeClaims().Lister().List(labels.Everything())
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(volumes, func(v *corev1.PersistentVolume) bool { return slices.Contains(classesOfVolume(v), class) }) ||
		slices.ContainsFunc(claims, func(c *corev1.PersistentVolumeClaim) bool { return slices.Contains(classesOfClaim(c), class) }), nil
}
