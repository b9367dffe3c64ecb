package serviceaccount

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"

	"dhow/api/admit"
	"dhow/api/podref"
)

// Admission gives every new pod a ServiceAccount that exists, with a token that expires, the root certificate and the
// namespace mounted where clients look for them.
func Admission(f informers.SharedInformerFactory, client kubernetes.Interface) admission.Interface {
	accounts := f.Core().V1().ServiceAccounts()
	accounts.Informer() // asked for now, so that it starts with the server
	return &plugin{
		Handler: admission.NewHandler(admission.Create, admission.Update),
		lister:  accounts.Lister(), client: client,
	}
}

type plugin struct {
	*admission.Handler
	lister corelisters.ServiceAccountLister
	client kubernetes.Interface
}

var (
	_ admission.MutationInterface   = &plugin{}
	_ admission.ValidationInterface = &plugin{}

	pods = corev1.Resource("pods")
)

const defaultAccount = "default"

// Admit fills what a new pod leaves open. Mirror pods stay as they are: the node would take a changed one for
// another.
func (p *plugin) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	pod, ok := admit.Object[*corev1.Pod](a, pods)
	if !ok || a.GetOperation() != admission.Create {
		return nil
	}
	if isMirror(pod) {
		return checkMirror(a, pod)
	}
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName = defaultAccount
	}
	pod.Spec.DeprecatedServiceAccount = pod.Spec.ServiceAccountName
	account, err := p.account(ctx, a, pod)
	if err != nil {
		return err
	}
	if automount(account, pod) {
		mountToken(&pod.Spec)
	}
	if len(pod.Spec.ImagePullSecrets) == 0 {
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, account.ImagePullSecrets...)
	}
	return nil
}

// Validate refuses what other plug-ins may have made of it.
func (p *plugin) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	pod, ok := admit.Object[*corev1.Pod](a, pods, "", "ephemeralcontainers")
	switch {
	case !ok:
		return nil
	case a.GetOperation() == admission.Update && a.GetSubresource() == "ephemeralcontainers":
		return p.checkSecrets(ctx, a, pod, limitEphemeral)
	case a.GetOperation() != admission.Create || a.GetSubresource() != "":
		return nil
	case isMirror(pod):
		return checkMirror(a, pod)
	}
	return p.checkSecrets(ctx, a, pod, limitSecrets)
}

func (p *plugin) checkSecrets(ctx context.Context, a admission.Attributes, pod *corev1.Pod, limit func(*corev1.ServiceAccount, *corev1.PodSpec) error) error {
	if pod.Spec.ServiceAccountName == "" {
		return admission.NewForbidden(a, fmt.Errorf("no service account specified for pod %s/%s", a.GetNamespace(), pod.Name))
	}
	account, err := p.account(ctx, a, pod)
	if err != nil {
		return err
	}
	if only, _ := strconv.ParseBool(account.Annotations[enforceMountable]); !only {
		return nil
	}
	if err := limit(account, &pod.Spec); err != nil {
		return admission.NewForbidden(a, err)
	}
	return nil
}

func isMirror(pod *corev1.Pod) bool {
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return mirror
}

// checkMirror: a pod that a node runs without the API must not need the API.
func checkMirror(a admission.Attributes, pod *corev1.Pod) error {
	if pod.Spec.ServiceAccountName != "" {
		return admission.NewForbidden(a, errors.New("a mirror pod may not reference service accounts"))
	}
	for range podref.Secrets(&pod.Spec) {
		return admission.NewForbidden(a, errors.New("a mirror pod may not reference secrets"))
	}
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.ServiceAccountToken != nil {
				return admission.NewForbidden(a, errors.New("a mirror pod may not use ServiceAccountToken volume projections"))
			}
		}
	}
	return nil
}

func automount(account *corev1.ServiceAccount, pod *corev1.Pod) bool {
	for _, wish := range []*bool{pod.Spec.AutomountServiceAccountToken, account.AutomountServiceAccountToken} {
		if wish != nil {
			return *wish
		}
	}
	return true
}

// How long a pod waits for its namespace's default account, which a controller makes.
const (
	defaultAccountWait = 2 * time.Second
	defaultAccountPoll = 10 * time.Millisecond
)

func (p *plugin) account(ctx context.Context, a admission.Attributes, pod *corev1.Pod) (*corev1.ServiceAccount, error) {
	namespace, name := a.GetNamespace(), pod.Spec.ServiceAccountName
	account, err := p.find(ctx, namespace, name)
	if err != nil {
		return nil, admission.NewForbidden(a, fmt.Errorf("error looking up service account %s/%s: %w", namespace, name, err))
	}
	return account, nil
}

// find asks the cache, then storage: the account may be younger than what the cache has seen.
func (p *plugin) find(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	account, err := p.lister.ServiceAccounts(namespace).Get(name)
	if !apierrors.IsNotFound(err) {
		return account, err
	}
	look := func(ctx context.Context) (done bool, err error) {
		account, err = p.client.CoreV1().ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return true, err
	}
	if done, err := look(ctx); done || err != nil {
		return account, err
	}
	if name == defaultAccount {
		err := wait.PollUntilContextTimeout(ctx, jitter(defaultAccountPoll), defaultAccountWait, false, look)
		if !wait.Interrupted(err) {
			return account, err
		}
	}
	return nil, apierrors.NewNotFound(corev1.Resource("serviceaccount"), name)
}

// jitter keeps many pods that wait at once from asking at once.
func jitter(d time.Duration) time.Duration { return d + rand.N(d) }
