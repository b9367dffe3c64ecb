package aggregation

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"
	"k8s.io/utils/ptr"

	"dhow/apiserver/groups"
)

// sync brings what is known of one APIService up to date, and its condition. It returns an error when the server does
// not answer, so that it is asked again soon.
func (a *Aggregator) sync(ctx context.Context, name string) error {
	obj, exists, err := a.known.GetIndexer().GetByKey(name)
	if err != nil {
		return err
	}
	if !exists {
		a.forget(groupVersionNamed(name))
		return nil
	}
	service := obj.(*apiregistrationv1.APIService)
	if service.Spec.Service == nil {
		a.forget(groupVersionNamed(name))
		return a.report(ctx, service, helper.NewLocalAvailableAPIServiceCondition())
	}
	next, err := a.next(service)
	if err != nil {
		return err
	}
	condition := a.check(next)
	next.available = condition.Status == apiregistrationv1.ConditionTrue
	a.remember(next)
	if err := a.report(ctx, service, condition); err != nil {
		return err
	}
	if !next.available {
		return fmt.Errorf("%s: %s", condition.Reason, condition.Message)
	}
	return nil
}

// groupVersionNamed is what the APIService of a name is for.
func groupVersionNamed(name string) schema.GroupVersion {
	return helper.APIServiceNameToGroupVersion(name)
}

// next is a new backend, or a copy of the one there is with the same connections.
func (a *Aggregator) next(service *apiregistrationv1.APIService) (*backend, error) {
	if b := a.find(schema.GroupVersion{Group: service.Spec.Group, Version: service.Spec.Version}); b != nil && reflect.DeepEqual(b.spec, service.Spec) {
		same := *b
		return &same, nil
	}
	return newBackend(a.config, service.Spec)
}

// check finds out whether the server can be reached and answers. Reasons and messages are upstream's.
func (a *Aggregator) check(b *backend) apiregistrationv1.APIServiceCondition {
	s := b.spec.Service
	not := func(status apiregistrationv1.ConditionStatus, reason, format string, args ...any) apiregistrationv1.APIServiceCondition {
		return apiregistrationv1.APIServiceCondition{Type: apiregistrationv1.Available, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
	}
	service, err := a.services.Services(s.Namespace).Get(s.Name)
	switch {
	case apierrors.IsNotFound(err):
		return not(apiregistrationv1.ConditionFalse, "ServiceNotFound", "service/%s in %q is not present", s.Name, s.Namespace)
	case err != nil:
		return not(apiregistrationv1.ConditionUnknown, "ServiceAccessError", "service/%s in %q cannot be checked due to: %v", s.Name, s.Namespace, err)
	}
	if service.Spec.Type == corev1.ServiceTypeClusterIP {
		wanted := ptr.Deref(s.Port, 443)
		at := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == wanted })
		if at < 0 {
			return not(apiregistrationv1.ConditionFalse, "ServicePortError", "service/%s in %q is not listening on port %d", s.Name, s.Namespace, wanted)
		}
		found, err := a.slices.EndpointSlices(s.Namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: s.Name}))
		switch portName := service.Spec.Ports[at].Name; {
		case err != nil:
			return not(apiregistrationv1.ConditionUnknown, "EndpointsAccessError", "service/%s in %q cannot be checked due to: %v", s.Name, s.Namespace, err)
		case len(found) == 0:
			return not(apiregistrationv1.ConditionFalse, "EndpointsNotFound", "cannot find endpointslices for service/%s in %q", s.Name, s.Namespace)
		case !slices.ContainsFunc(found, func(e *discoveryv1.EndpointSlice) bool { return offers(e, portName) }):
			return not(apiregistrationv1.ConditionFalse, "MissingEndpoints", "endpointslices for service/%s in %q have no addresses with port name %q", s.Name, s.Namespace, portName)
		}
	}
	if err := b.learn(askOnce(b.transport)); err != nil {
		return not(apiregistrationv1.ConditionFalse, "FailedDiscoveryCheck", "%v", err)
	}
	return not(apiregistrationv1.ConditionTrue, "Passed", "all checks passed")
}

func askOnce(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func offers(e *discoveryv1.EndpointSlice, portName string) bool {
	return slices.ContainsFunc(e.Endpoints, func(p discoveryv1.Endpoint) bool { return ptr.Deref(p.Conditions.Ready, true) }) &&
		slices.ContainsFunc(e.Ports, func(p discoveryv1.EndpointPort) bool { return p.Port != nil && ptr.Deref(p.Name, "") == portName })
}

// report writes the condition if it is news.
func (a *Aggregator) report(ctx context.Context, service *apiregistrationv1.APIService, c apiregistrationv1.APIServiceCondition) error {
	if old := helper.GetAPIServiceConditionByType(service, c.Type); old != nil && old.Status == c.Status && old.Reason == c.Reason && old.Message == c.Message {
		return nil
	}
	changed := service.DeepCopy()
	c.LastTransitionTime = metav1.Now()
	helper.SetAPIServiceCondition(changed, c)
	err := a.config.UpdateStatus(ctx, changed)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // its next event is on the way
	}
	return err
}

// remember puts a backend in its place, and tells discovery.
func (a *Aggregator) remember(b *backend) {
	gv := b.groupVersion()
	a.mu.Lock()
	a.backends[gv] = b
	a.mu.Unlock()
	if !b.available && b.resources == nil {
		a.config.Discovery.AddGroupVersion(gv.Group, apidiscoveryv2.APIVersionDiscovery{Version: gv.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessStale})
	} else {
		freshness := apidiscoveryv2.DiscoveryFreshnessCurrent
		if !b.available {
			freshness = apidiscoveryv2.DiscoveryFreshnessStale
		}
		a.config.Discovery.AddGroupVersion(gv.Group, apidiscoveryv2.APIVersionDiscovery{Version: gv.Version, Resources: b.resources, Freshness: freshness})
	}
	a.config.Discovery.SetGroupVersionPriority(metav1.GroupVersion(gv), int(b.spec.GroupPriorityMinimum), int(b.spec.VersionPriority))
	a.tellGroup(gv.Group)
}

func (a *Aggregator) forget(gv schema.GroupVersion) {
	a.mu.Lock()
	_, known := a.backends[gv]
	delete(a.backends, gv)
	a.mu.Unlock()
	if known {
		a.config.Discovery.RemoveGroupVersion(metav1.GroupVersion(gv))
		a.tellGroup(gv.Group)
	}
}

// tellGroup keeps the list of groups right for clients that read it the old way.
func (a *Aggregator) tellGroup(name string) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var versions []groups.Version
	for gv, b := range a.backends {
		if gv.Group == name {
			p := groups.Priority{Group: b.spec.GroupPriorityMinimum, Version: b.spec.VersionPriority}
			versions = append(versions, groups.Version{Version: gv.Version, Priority: p})
		}
	}
	a.config.Groups.Set(groups.Remote, name, versions)
}

// OpenAPI says where others' group versions are described, by paths such as "apis/wardle.example.com/v1".
func (a *Aggregator) OpenAPI() map[string]string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	all := map[string]string{}
	for gv, b := range a.backends {
		if b.available && b.openAPI != "" {
			all["apis/"+gv.String()] = b.openAPI
		}
	}
	return all
}
