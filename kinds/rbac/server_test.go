package rbac

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller"
	"dhow/controller/controllertest"
	"dhow/kinds/configmap"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

// guarded is a server with the default roles, objects, and the aggregation of roles.
func guarded(t *testing.T, objects ...runtime.Object) *apiservertest.Cluster {
	t.Helper()
	var roles *Authorizer
	guard := func(s *genericregistry.Store) { roles.Guard(s, func() authorizer.Authorizer { return roles }) }
	c := apiservertest.Start(t, append(Kinds(guard), namespace.Kind(), configmap.Kind(), secret.Kind(), node.Kind(node.Config{}),
		pod.Kind(pod.Config{}), serviceaccount.Kind(serviceaccount.Config{})), func(config *apiserver.Config) {
		config.Authorizer = func(f informers.SharedInformerFactory) (_ authorizer.Authorizer, err error) {
			roles, err = NewAuthorizer(f)
			return roles, err
		}
	})
	aggregation := AggregationController()
	own, err := controller.Roles([]controller.Controller{aggregation})
	if err != nil {
		t.Fatal(err)
	}
	all := append(own, objects...)
	if err := Reconcile(t.Context(), c.Client, all); err != nil {
		t.Fatal(err)
	}
	if err := roles.Await(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	controllertest.Run(t, controllertest.On{
		As: func(user string) (kubernetes.Interface, error) { return c.Server.Client(user) }, Informers: c.Informers,
	}, aggregation)
	return c
}

// as is a client of somebody's own, over HTTPS.
func as(t *testing.T, c *apiservertest.Cluster, wanted restclient.ImpersonationConfig, name string, groups ...string) kubernetes.Interface {
	t.Helper()
	config := restclient.CopyConfig(c.Config)
	var err error
	if config.CertData, config.KeyData, err = c.Identity.Client(name, groups...); err != nil {
		t.Fatal(err)
	}
	config.Impersonate = wanted
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestImpersonationIsAllowedInParts(t *testing.T) {
	const constrained = "authentication.k8s.io"
	c := guarded(t,
		clusterRole("impersonator", on("impersonate", "core", "users", "ann"), on("impersonate", "core", "groups", "dev"),
			on("impersonate", constrained, "uids", "7"), on("impersonate", constrained, "userextras/scopes", "read")),
		bound("impersonator", username("boss")),
		clusterRole("half", on("impersonate:user-info", constrained, "users", "ann"), on("impersonate-on:user-info:list", "core", "configmaps"),
			on("impersonate-on:user-info:create", constrained, "selfsubjectreviews")),
		bound("half", username("deputy")),
		clusterRole("reader", on("list", "core", "configmaps secrets")), bound("reader", username("ann")))
	ann := restclient.ImpersonationConfig{UserName: "ann"}
	for name, k := range map[string]struct {
		who     string
		groups  []string
		wanted  restclient.ImpersonationConfig
		allowed bool
	}{
		"an administrator, anybody": {"root", []string{"system:masters"}, restclient.ImpersonationConfig{UserName: "x", UID: "1", Groups: []string{"g"}, Extra: map[string][]string{"a": {"b"}}}, true},
		"everything allowed":        {"boss", nil, restclient.ImpersonationConfig{UserName: "ann", UID: "7", Groups: []string{"dev"}, Extra: map[string][]string{"scopes": {"read"}}}, true},
		"another user":              {"boss", nil, restclient.ImpersonationConfig{UserName: "ben"}, false},
		"another group":             {"boss", nil, restclient.ImpersonationConfig{UserName: "ann", Groups: []string{"dev", "ops"}}, false},
		"another UID":               {"boss", nil, restclient.ImpersonationConfig{UserName: "ann", UID: "8"}, false},
		"another extra":             {"boss", nil, restclient.ImpersonationConfig{UserName: "ann", Extra: map[string][]string{"scopes": {"write"}}}, false},
		"an account":                {"boss", nil, restclient.ImpersonationConfig{UserName: "system:serviceaccount:default:a"}, false},
		"without a right":           {"ann", nil, restclient.ImpersonationConfig{UserName: "boss"}, false},
		"for these requests only":   {"deputy", nil, ann, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := as(t, c, k.wanted, k.who, k.groups...).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
			if !k.allowed {
				if !apierrors.IsForbidden(err) {
					t.Errorf("%+v, %v", got.Status, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			u := got.Status.UserInfo
			extra := map[string][]string{}
			for key, values := range u.Extra {
				extra[key] = values
			}
			if u.Username != k.wanted.UserName || u.UID != k.wanted.UID || !slices.Equal(u.Groups, append(k.wanted.Groups, "system:authenticated")) ||
				!maps.EqualFunc(extra, k.wanted.Extra, slices.Equal) {
				t.Errorf("I am %+v", u)
			}
		})
	}
	deputy := as(t, c, ann, "deputy").CoreV1()
	if _, err := deputy.ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("what deputies may: %v", err)
	}
	if _, err := deputy.Secrets("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("what ann may, but deputies may not for her: %v", err)
	}
}

func TestNobodyGivesAwayThroughAggregationWhatHeHasNot(t *testing.T) {
	c := guarded(t,
		clusterRole("rolewriter", on("create update", rbacv1.GroupName, "clusterroles rolebindings"), on("get", "core", "configmaps")),
		bound("rolewriter", username("ann")),
		clusterRole("binder", on("create", rbacv1.GroupName, "rolebindings"), on("bind", rbacv1.GroupName, "clusterroles", "edit")),
		bound("binder", username("ben")),
		clusterRole("escalator", on("create update escalate", rbacv1.GroupName, "clusterroles")), bound("escalator", username("cid")),
		gathers(clusterRole("gathered")))
	to := func(name, role string) *rbacv1.RoleBinding {
		b := boundIn("default", name, role, username("x"))
		b.RoleRef.Kind = "ClusterRole"
		return b
	}
	create := func(ctx context.Context, client kubernetes.Interface, obj runtime.Object) (err error) {
		switch o := obj.(type) {
		case *rbacv1.ClusterRole:
			_, err = client.RbacV1().ClusterRoles().Create(ctx, o, metav1.CreateOptions{})
		case *rbacv1.RoleBinding:
			_, err = client.RbacV1().RoleBindings(o.Namespace).Create(ctx, o, metav1.CreateOptions{})
		}
		return err
	}
	const more = "is attempting to grant RBAC permissions not currently held"
	for _, k := range []struct {
		name, who string
		obj       runtime.Object
		want      string
	}{
		{"a part with less", "ann", joins("gathered", clusterRole("less", on("get", "core", "configmaps"))), ""},
		{"a part with more", "ann", joins("gathered", clusterRole("more", on("get", "core", "secrets"))), more},
		{"a part with more, by one who may escalate", "cid", joins("gathered", clusterRole("pods", on("get", "core", "pods"))), ""},
		{"a union", "ann", gathers(clusterRole("mine")), "must have cluster-admin privileges to use the aggregationRule"},
		{"a union, by one who may escalate", "cid", gathers(clusterRole("theirs")), ""},
		{"a binding to a union with more", "ann", to("edit-x", "edit"), more},
		{"a binding to it by one who may bind it", "ben", to("edit-y", "edit"), ""},
		{"a binding to another one", "ben", to("admin-x", "admin"), more},
	} {
		err := create(t.Context(), as(t, c, restclient.ImpersonationConfig{}, k.who), k.obj)
		if k.want == "" && err != nil || k.want != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), k.want)) {
			t.Errorf("%s: %v, want %q", k.name, err, k.want)
		}
	}
	apiservertest.Eventually(t, func() bool { // the controller may gather what it does not hold itself
		got, err := c.Client.RbacV1().ClusterRoles().Get(t.Context(), "gathered", metav1.GetOptions{})
		return err == nil && len(got.Rules) == 2
	})
	pods, err := c.Client.RbacV1().ClusterRoles().Get(t.Context(), "less", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pods.Rules = append(pods.Rules, on("get", "core", "secrets"))
	_, err = as(t, c, restclient.ImpersonationConfig{}, "ann").RbacV1().ClusterRoles().Update(t.Context(), pods, metav1.UpdateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), more) {
		t.Errorf("a part that grows: %v", err)
	}
}
