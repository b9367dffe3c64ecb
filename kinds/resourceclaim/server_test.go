package resourceclaim_test

import (
	"context"
	"strings"
	"testing"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/api/admit/admittest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/resourceclaim"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

// start serves the group. Users may do everything but what rights on a claim's status are about: "binder" may bind,
// "driver" may tell of devices of driver.example.com.
func start(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	var c *apiservertest.Cluster
	kinds := append(resourceclaim.Kinds(resourceclaim.Config{Client: func() kubernetes.Interface { return c.Client }}),
		namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), pod.Kind(pod.Config{}), serviceaccount.Kind(serviceaccount.Config{}))
	c = apiservertest.Start(t, kinds, func(c *apiserver.Config) {
		c.Authorizer = func(informers.SharedInformerFactory) (authorizer.Authorizer, error) {
			return authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
				who, allowed := a.GetUser().GetName(), true
				switch a.GetSubresource() {
				case "binding":
					allowed = who == "binder" && a.GetVerb() == "update"
				case "driver":
					allowed = who == "driver" && a.GetVerb() == "arbitrary-node:update" && a.GetName() == "driver.example.com"
				}
				if allowed {
					return authorizer.DecisionAllow, "", nil
				}
				return authorizer.DecisionNoOpinion, "", nil
			}), nil
		}
	})
	return c
}

func as(t *testing.T, c *apiservertest.Cluster, user string) kubernetes.Interface {
	t.Helper()
	client, err := c.Server.Client(user)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

const claim = `
metadata: {name: c, namespace: default}
spec:
  devices:
    requests:
    - name: gpu
      exactly:
        deviceClassName: gpu.example.com
        selectors: [{cel: {expression: 'device.driver == "driver.example.com"'}}]
    - {name: other, firstAvailable: [{name: a, deviceClassName: x}, {name: b, deviceClassName: x, allocationMode: All}]}
`

func TestClaimsAreDefaultedCheckedAndFixed(t *testing.T) {
	claims := start(t).Client.ResourceV1().ResourceClaims("default")
	for want, edit := range map[string][2]string{
		"spec.devices.requests[0].exactly.deviceClassName: Required value":                                                                           {"deviceClassName: gpu.example.com", "deviceClassName: ''"},
		"spec.devices.requests[1].firstAvailable[1].count: Invalid value: 2: must not be specified when allocationMode is 'All'":                     {"allocationMode: All", "allocationMode: All, count: 2"},
		"spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero":                                                       {"deviceClassName: gpu.example.com", "{deviceClassName: x, count: -1}"},
		"spec.devices.requests[1].name: Invalid value: \"X\"":                                                                                        {"name: other", "name: X"},
		"spec.devices.requests[1]: Duplicate value: \"gpu\"":                                                                                         {"name: other", "name: gpu"},
		"spec.devices.requests[0].exactly.selectors[0].cel.expression: Invalid value: \"1 + 1\": must evaluate to bool or the unknown type, not int": {`'device.driver == "driver.example.com"'`, "'1 + 1'"},
	} {
		text := strings.Replace(claim, edit[0], edit[1], 1)
		if strings.HasPrefix(edit[1], "{") {
			text = strings.Replace(claim, "\n        deviceClassName: gpu.example.com\n        selectors: [{cel: {expression: 'device.driver == \"driver.example.com\"'}}]", " "+edit[1], 1)
		}
		_, err := claims.Create(t.Context(), admittest.YAML[resourcev1.ResourceClaim](t, text), metav1.CreateOptions{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	got, err := claims.Create(t.Context(), admittest.YAML[resourcev1.ResourceClaim](t, claim), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if e := got.Spec.Devices.Requests[0].Exactly; e.AllocationMode != "ExactCount" || e.Count != 1 || got.Generation != 0 {
		t.Errorf("%+v", got)
	}
	got.Spec.Devices.Requests = got.Spec.Devices.Requests[:1]
	_, err = claims.Update(t.Context(), got, metav1.UpdateOptions{})
	admittest.Check(t, err, "field is immutable")
}

const status = `
allocation:
  devices:
    results: [{request: gpu, driver: driver.example.com, pool: n/1, device: d0}, {request: other/b, driver: driver.example.com, pool: n, device: d1}]
reservedFor: [{resource: pods, name: p, uid: "1"}]
`

func TestStatusOfClaimsIsWrittenByThoseWhoMay(t *testing.T) {
	c := start(t)
	r, err := c.Client.ResourceV1().ResourceClaims("default").Create(t.Context(), admittest.YAML[resourcev1.ResourceClaim](t, claim), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	write := func(user string, edit func(*resourcev1.ResourceClaimStatus)) error {
		copied := r.DeepCopy()
		edit(&copied.Status)
		got, err := as(t, c, user).ResourceV1().ResourceClaims("default").UpdateStatus(t.Context(), copied, metav1.UpdateOptions{})
		if err == nil {
			r = got
		}
		return err
	}
	from := func(old, now string) func(*resourcev1.ResourceClaimStatus) {
		return func(s *resourcev1.ResourceClaimStatus) {
			*s = *admittest.YAML[resourcev1.ResourceClaimStatus](t, strings.Replace(status, old, now, 1))
		}
	}
	device := func(name string) func(*resourcev1.ResourceClaimStatus) {
		return func(s *resourcev1.ResourceClaimStatus) {
			s.Devices = append(s.Devices, resourcev1.AllocatedDeviceStatus{Driver: "driver.example.com", Pool: "n/1", Device: name})
		}
	}
	for _, step := range []struct {
		name, user string
		edit       func(*resourcev1.ResourceClaimStatus)
		want       string
	}{
		{"allocate without the right", "driver", from("", ""), `verb="update" permission: User "driver" cannot update resource "resourceclaims/binding" in API group "resource.k8s.io" at the cluster scope`},
		{"another request", "binder", from("other/b", "other/c"), `must be the name of a request in the claim or the name of a request and a subrequest separated by '/'`},
		{"reserve what is not allocated", "binder", func(s *resourcev1.ResourceClaimStatus) { from("", "")(s); s.Allocation = nil }, "status.reservedFor: Forbidden: may not be specified when `allocated` is not set"},
		{"allocate", "binder", from("", ""), ""},
		{"allocate otherwise", "binder", from("d1", "d2"), "field is immutable"},
		{"tell without the right", "binder", device("d0"), `in the namespace "default"`},
		{"tell of another device", "driver", device("d9"), `status.devices[0]: Invalid value: "driver.example.com/n/1/d9": must be an allocated device in the claim`},
		{"tell", "driver", device("d0"), ""},
		{"release", "binder", func(s *resourcev1.ResourceClaimStatus) { s.Allocation, s.ReservedFor = nil, nil }, ""},
	} {
		t.Log(step.name)
		admittest.Check(t, write(step.user, step.edit), step.want)
	}
	if len(r.Status.Devices) > 0 {
		t.Errorf("released devices have a status: %+v", r.Status.Devices)
	}
}

func TestAdministratorsAccessGoesByTheNamespacesLabel(t *testing.T) {
	c := start(t)
	ask := func() error {
		_, err := c.Client.ResourceV1().ResourceClaims("default").Create(t.Context(), admittest.YAML[resourcev1.ResourceClaim](t,
			`{metadata: {generateName: c-}, spec: {devices: {requests: [{name: a, exactly: {deviceClassName: x, adminAccess: true}}]}}}`), metav1.CreateOptions{})
		return err
	}
	admittest.Check(t, ask(), "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace")
	ns, err := c.Client.CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ns.Labels = map[string]string{"resource.kubernetes.io/admin-access": "true"}
	if _, err := c.Client.CoreV1().Namespaces().Update(t.Context(), ns, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	admittest.Check(t, ask(), "")
}

func TestSlicesAreCheckedAndSelectedByNodeAndDriver(t *testing.T) {
	slices := start(t).Client.ResourceV1().ResourceSlices()
	for name, c := range map[string]struct{ spec, want string }{
		"good":      {`{driver: d.example.com, nodeName: n1, pool: {name: p, resourceSliceCount: 1}, devices: [{name: a, attributes: {model: {string: x}}}]}`, ""},
		"no nodes":  {`{driver: d.example.com, pool: {name: p, resourceSliceCount: 1}}`, "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"},
		"two":       {`{driver: d.example.com, nodeName: n, allNodes: true, pool: {name: p, resourceSliceCount: 1}}`, "but multiple fields are set"},
		"no count":  {`{driver: d.example.com, nodeName: n, pool: {name: p}}`, "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero"},
		"no value":  {`{driver: d.example.com, nodeName: n, pool: {name: p, resourceSliceCount: 1}, devices: [{name: a, attributes: {model: {}}}]}`, `spec.devices[0].attributes[model]: Invalid value: "": exactly one value must be specified`},
		"version":   {`{driver: d.example.com, nodeName: n, pool: {name: p, resourceSliceCount: 1}, devices: [{name: a, attributes: {v: {version: "1.2"}}}]}`, "must be a string compatible with semver.org spec 2.0.0"},
		"policy":    {`{driver: d.example.com, nodeName: n, pool: {name: p, resourceSliceCount: 1}, devices: [{name: a, allowMultipleAllocations: true, capacity: {mem: {value: 8Gi, requestPolicy: {default: 3Gi, validValues: [1Gi, 2Gi]}}}}]}`, "default value is not valid according to the requestPolicy"},
		"one user":  {`{driver: d.example.com, nodeName: n, pool: {name: p, resourceSliceCount: 1}, devices: [{name: a, capacity: {mem: {value: 8Gi, requestPolicy: {default: 1Gi}}}}]}`, "spec.devices[0].capacity[mem].requestPolicy: Forbidden: allowMultipleAllocations must be true"},
		"elsewhere": {`{driver: d.example.com, nodeName: n, pool: {name: p, resourceSliceCount: 1}, devices: [{name: a, nodeName: m}]}`, "can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec"},
		"binding":   {`{driver: d.example.com, nodeName: n, pool: {name: p, resourceSliceCount: 1}, devices: [{name: a, bindingConditions: [x]}]}`, "bindingFailureConditions are required to use bindingConditions"},
		"counters":  {`{driver: d.example.com, nodeName: n, pool: {name: p, resourceSliceCount: 1}, sharedCounters: [{name: a}]}`, "spec.sharedCounters[0].counters: Required value"},
	} {
		t.Run(name, func(t *testing.T) {
			s := admittest.YAML[resourcev1.ResourceSlice](t, `{metadata: {generateName: s-}, spec: `+c.spec+`}`)
			_, err := slices.Create(t.Context(), s, metav1.CreateOptions{})
			admittest.Check(t, err, c.want)
		})
	}
	for selector, want := range map[string]int{"spec.nodeName=n1": 1, "spec.nodeName=n2": 0, "spec.driver=d.example.com": 1, "spec.pool.name=p": 1} {
		list, err := slices.List(t.Context(), metav1.ListOptions{FieldSelector: selector})
		if err != nil || len(list.Items) != want {
			t.Errorf("%s: %d, %v", selector, len(list.Items), err)
		}
	}
}

func TestClassesAndTaintRulesAreChecked(t *testing.T) {
	client := start(t).Client.ResourceV1()
	class := func(spec string) error {
		_, err := client.DeviceClasses().Create(t.Context(), admittest.YAML[resourcev1.DeviceClass](t, `{metadata: {generateName: c-}, spec: `+spec+`}`), metav1.CreateOptions{})
		return err
	}
	admittest.Check(t, class(`{selectors: [{cel: {expression: 'device.attributes["x.example.com"].ready'}}], extendedResourceName: example.com/gpu}`), "")
	admittest.Check(t, class(`{selectors: [{}]}`), "spec.selectors[0].cel: Required value")
	admittest.Check(t, class(`{extendedResourceName: cpu}`), `spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name`)
	admittest.Check(t, class(`{config: [{opaque: {driver: d, parameters: [1]}}]}`), `spec.config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object`)

	rule, err := client.DeviceTaintRules().Create(t.Context(), admittest.YAML[resourcev1.DeviceTaintRule](t,
		`{metadata: {name: r}, spec: {deviceSelector: {driver: d.example.com}, taint: {key: a, effect: NoSchedule}}}`), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if rule.Generation != 1 || rule.Spec.Taint.TimeAdded == nil {
		t.Errorf("%+v", rule)
	}
	rule.Spec.Taint.Effect = "Sometimes"
	_, err = client.DeviceTaintRules().Update(t.Context(), rule, metav1.UpdateOptions{})
	admittest.Check(t, err, `spec.taint.effect: Unsupported value: "Sometimes": supported values: "NoExecute", "NoSchedule", "None"`)
}

func TestTheStateOfAClaimIsPrinted(t *testing.T) {
	c := start(t)
	if _, err := c.Client.ResourceV1().ResourceClaims("default").Create(t.Context(), admittest.YAML[resourcev1.ResourceClaim](t, claim), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	data, err := c.Client.ResourceV1().RESTClient().Get().Namespace("default").Resource("resourceclaims").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	if err != nil || !strings.Contains(string(data), `"cells":["c","pending",`) {
		t.Errorf("%s, %v", data, err)
	}
}
