package event

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/lru"

	"dhow/api/admit"
	"dhow/api/check"
)

// Kinds of limits: what counts together.
const (
	perServer          = "Server"
	perNamespace       = "Namespace"
	perUser            = "User"
	perSourceAndObject = "SourceAndObject"
)

// keptBuckets is how many buckets a limit keeps, those that were used last, unless the configuration says otherwise.
const keptBuckets = 4096

// RateLimit refuses events beyond the limits that the configuration names: the plug-in EventRateLimit.
func RateLimit(configuration []byte) (admission.Interface, error) {
	var config struct {
		Limits []limit `json:"limits"`
	}
	err := admit.Configure(configuration, "eventratelimit.admission.k8s.io/v1alpha1", "Configuration", &config)
	if err == nil {
		err = validateLimits(config.Limits).ToAggregate()
	}
	if err != nil {
		return nil, fmt.Errorf("configuration of EventRateLimit: %w", err)
	}
	r := &rateLimit{Handler: admission.NewHandler(admission.Create, admission.Update)}
	for _, l := range config.Limits {
		r.limits = append(r.limits, newEnforcer(l))
	}
	return r, nil
}

// limit is one entry of the configuration.
type limit struct {
	Type      string `json:"type"`
	QPS       int32  `json:"qps"`
	Burst     int32  `json:"burst"`
	CacheSize int32  `json:"cacheSize"`
}

func validateLimits(limits []limit) field.ErrorList {
	var l check.List
	all := field.NewPath("limits")
	if len(limits) == 0 {
		l.Invalid(all, limits, "must not be empty")
	}
	for i, x := range limits {
		at := all.Index(i)
		check.Known(&l, at.Child("type"), x.Type, perServer, perNamespace, perUser, perSourceAndObject)
		if x.Burst <= 0 {
			l.Invalid(at.Child("burst"), x.Burst, "must be positive")
		}
		if x.QPS <= 0 {
			l.Invalid(at.Child("qps"), x.QPS, "must be positive")
		}
		if x.Type != perServer && x.CacheSize < 0 {
			l.Invalid(at.Child("cacheSize"), x.CacheSize, "must not be negative")
		}
	}
	return l.Errors()
}

type rateLimit struct {
	*admission.Handler
	limits []*enforcer
}

var _ admission.ValidationInterface = &rateLimit{}

// Validate implements admission.ValidationInterface.
func (r *rateLimit) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if (a.GetKind().GroupKind() != schema.GroupKind{Kind: "Event"}) || a.IsDryRun() {
		return nil
	}
	var errs []error
	for _, e := range r.limits {
		errs = append(errs, e.accept(a))
	}
	if err := utilerrors.NewAggregate(errs); err != nil {
		return apierrors.NewTooManyRequestsError(err.Error())
	}
	return nil
}

// enforcer counts the events of one limit in a bucket per key.
type enforcer struct {
	limit   limit
	buckets *lru.Cache
}

func newEnforcer(l limit) *enforcer {
	size := int(l.CacheSize)
	if size == 0 {
		size = keptBuckets
	}
	if l.Type == perServer {
		size = 1
	}
	return &enforcer{l, lru.New(size)}
}

func (e *enforcer) accept(a admission.Attributes) error {
	key := e.key(a)
	bucket, found := e.buckets.Get(key)
	if !found {
		bucket = flowcontrol.NewTokenBucketRateLimiter(float32(e.limit.QPS), int(e.limit.Burst))
		e.buckets.Add(key, bucket)
	}
	limiter, ok := bucket.(flowcontrol.RateLimiter)
	if !ok {
		return errors.New("the limits' buckets hold something else")
	}
	if !limiter.TryAccept() {
		return fmt.Errorf("limit reached on type %v for key %v", e.limit.Type, key)
	}
	return nil
}

func (e *enforcer) key(a admission.Attributes) string {
	switch e.limit.Type {
	case perNamespace:
		return a.GetNamespace()
	case perUser:
		if who := a.GetUserInfo(); who != nil {
			return who.GetName()
		}
	case perSourceAndObject:
		if e, ok := a.GetObject().(*corev1.Event); ok {
			o := &e.InvolvedObject
			return strings.Join([]string{e.Source.Component, e.Source.Host, o.Kind, o.Namespace, o.Name, string(o.UID), o.APIVersion}, "")
		}
	}
	return ""
}
