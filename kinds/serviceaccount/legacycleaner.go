package serviceaccount

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/api/podref"
	"dhow/apiserver/token"
	"dhow/controller"
)

// How long a token of a secret may be unused before it is refused, and how long it is refused before it is removed.
// Secrets are looked at once a day.
const (
	unusedFor = 365 * 24 * time.Hour
	lookEvery = 24 * time.Hour
)

// LegacyTokenCleaner refuses, and later removes, secrets with tokens that were once made for every account and that
// nobody has used for a year. Secrets that people have made stay. Its keys are secrets.
func LegacyTokenCleaner() controller.Controller {
	watched := func(controller.Env, runtime.Object, runtime.Object) []types.NamespacedName { return nil }
	return controller.Controller{
		Name: "legacy-service-account-token-cleaner",
		Reads: []controller.Read{
			{Object: &corev1.Secret{}, Keys: ifTokenSecret},
			{Object: &corev1.ServiceAccount{}, Keys: watched},
			{Object: &corev1.Pod{}, Keys: watched},
		},
		Writes: []controller.Write{
			{Resources: []string{"configmaps"}, Verbs: []string{"get"}, Names: []string{trackingName}},
			{Resources: []string{"secrets"}, Verbs: []string{"patch", "delete"}},
		},
		Workers: 1, Resync: lookEvery,
		New: func(env controller.Env) controller.Reconciler { return legacyCleaner{env} },
	}
}

type legacyCleaner struct{ env controller.Env }

// Reconcile implements controller.Reconciler.
func (c legacyCleaner) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	secret, err := c.env.Informers.Core().V1().Secrets().Lister().Secrets(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	now := c.env.Now().UTC()
	if !unused(secret, now) || !c.madeForAccount(secret) {
		return controller.Result{}, nil
	}
	long, err := c.trackedLongEnough(ctx, now)
	if err != nil || !long {
		return controller.Result{}, err
	}
	used, err := c.usedByPods(secret)
	if err != nil || used {
		return controller.Result{}, err
	}
	return controller.Result{}, c.end(ctx, secret, now)
}

// unused says whether the labels tell that nobody has used a token for so long.
func unused(secret *corev1.Secret, now time.Time) bool {
	before := now.Add(-unusedFor)
	if secret.Type != corev1.SecretTypeServiceAccountToken || secret.DeletionTimestamp != nil || !secret.CreationTimestamp.Time.Before(before) {
		return false
	}
	last, ok := secret.Labels[token.LastUsedLabel]
	if !ok {
		return true
	}
	if _, err := time.Parse(time.DateOnly, last); err != nil {
		return false // who knows
	}
	return last < before.Format(time.DateOnly)
}

// madeForAccount: the account names the secret, which only those do that a controller once made.
func (c legacyCleaner) madeForAccount(secret *corev1.Secret) bool {
	name, uid := secret.Annotations[corev1.ServiceAccountNameKey], secret.Annotations[corev1.ServiceAccountUIDKey]
	account, err := c.env.Informers.Core().V1().ServiceAccounts().Lister().ServiceAccounts(secret.Namespace).Get(name)
	return err == nil && (uid == "" || uid == string(account.UID)) &&
		slices.ContainsFunc(account.Secrets, func(r corev1.ObjectReference) bool { return r.Name == secret.Name })
}

// trackedLongEnough: uses have been noted for so long, whole days counted.
func (c legacyCleaner) trackedLongEnough(ctx context.Context, now time.Time) (bool, error) {
	cm, err := c.env.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, trackingName, metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	since, err := time.Parse(time.DateOnly, cm.Data[trackingKey])
	if err != nil {
		return false, fmt.Errorf("config map %s: %w", trackingName, err)
	}
	return !now.Before(since.AddDate(0, 0, 1).Add(unusedFor)), nil
}

func (c legacyCleaner) usedByPods(secret *corev1.Secret) (bool, error) {
	pods, err := c.env.Informers.Core().V1().Pods().Lister().Pods(secret.Namespace).List(labels.Everything())
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(pods, func(p *corev1.Pod) bool {
		for name := range podref.Secrets(&p.Spec) {
			if name == secret.Name {
				return true
			}
		}
		return false
	}), nil
}

// end marks a secret so that its token is refused, or removes it when that was long ago.
func (c legacyCleaner) end(ctx context.Context, secret *corev1.Secret, now time.Time) error {
	secrets := c.env.Client.CoreV1().Secrets(secret.Namespace)
	since := secret.Labels[token.InvalidSinceLabel]
	if _, err := time.Parse(time.DateOnly, since); err != nil {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"uid": secret.UID, "labels": map[string]string{token.InvalidSinceLabel: now.Format(time.DateOnly)},
		}})
		if err != nil {
			return err
		}
		_, err = secrets.Patch(ctx, secret.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		return passOver(err)
	}
	if since >= now.Add(-unusedFor).Format(time.DateOnly) {
		return nil
	}
	return passOver(secrets.Delete(ctx, secret.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &secret.ResourceVersion}}))
}

// passOver: a secret that has gone or changed meanwhile is looked at again when that is heard of.
func passOver(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
