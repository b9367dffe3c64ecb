package serviceaccount

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/controller"
)

// The ConfigMap of kube-system that says since which day uses of secrets' tokens are noted.
const (
	trackingName = "kube-apiserver-legacy-service-account-token-tracking"
	trackingKey  = "since"
)

// LegacyTokenTracking keeps in kube-system the day since which the API server notes when a secret's token was used last.
// Its only key is that ConfigMap.
func LegacyTokenTracking() controller.Controller {
	return controller.Controller{
		Name: "legacy-service-account-token-tracking-controller",
		Reads: []controller.Read{
			{Object: &corev1.Namespace{}, Keys: ifSystem},
			{Object: &corev1.ConfigMap{}, Keys: ifTracking},
		},
		Writes: []controller.Write{
			{Resources: []string{"configmaps"}, Verbs: []string{"create"}},
			{Resources: []string{"configmaps"}, Verbs: []string{"update"}, Names: []string{trackingName}},
		},
		Workers: 1,
		New:     func(env controller.Env) controller.Reconciler { return tracking{env} },
	}
}

var trackingMap = types.NamespacedName{Namespace: metav1.NamespaceSystem, Name: trackingName}

func ifSystem(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	if obj.(*corev1.Namespace).Name != trackingMap.Namespace {
		return nil
	}
	return []types.NamespacedName{trackingMap}
}

func ifTracking(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	if cm := obj.(*corev1.ConfigMap); cm.Namespace != trackingMap.Namespace || cm.Name != trackingMap.Name {
		return nil
	}
	return []types.NamespacedName{trackingMap}
}

type tracking struct{ env controller.Env }

// Reconcile implements controller.Reconciler.
func (t tracking) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	configMaps := t.env.Client.CoreV1().ConfigMaps(key.Namespace)
	today := t.env.Now().UTC().Format(time.DateOnly)
	have, err := t.env.Informers.Core().V1().ConfigMaps().Lister().ConfigMaps(key.Namespace).Get(key.Name)
	switch {
	case apierrors.IsNotFound(err):
		_, err = configMaps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: key.Name}, Data: map[string]string{trackingKey: today}}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			err = nil
		}
	case err == nil:
		if _, wrong := time.Parse(time.DateOnly, have.Data[trackingKey]); wrong == nil {
			return controller.Result{}, nil
		}
		have = have.DeepCopy()
		if have.Data == nil {
			have.Data = map[string]string{}
		}
		have.Data[trackingKey] = today
		_, err = configMaps.Update(ctx, have, metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			err = nil
		}
	}
	return controller.Result{}, err
}
