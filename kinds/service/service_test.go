package service

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/randfill"
	"sigs.k8s.io/yaml"
)

func serviceOf(t *testing.T, text string) *corev1.Service {
	t.Helper()
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "default", UID: types.UID(t.Name())}}
	if err := yaml.UnmarshalStrict([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	Default(s)
	return s
}

func allocatorFor(t *testing.T, stored []corev1.Service, cidrs ...string) *allocator {
	t.Helper()
	config := Config{FirstNodePort: 30000, LastNodePort: 32767}
	for _, c := range cidrs {
		config.CIDRs = append(config.CIDRs, netip.MustParsePrefix(c))
	}
	a, err := newAllocator(config)
	if err != nil {
		t.Fatal(err)
	}
	a.list = func(context.Context) (*corev1.ServiceList, error) { return &corev1.ServiceList{Items: stored}, nil }
	return a
}

func create(t *testing.T, a *allocator, s *corev1.Service) error {
	t.Helper()
	normalize(s, nil)
	undo, err := a.allocate(t.Context(), s, nil, false)
	if err != nil {
		return err
	}
	if errs := validate(s, nil); len(errs) > 0 {
		undo()
		return invalid(s, errs...)
	}
	a.settle(s)
	return nil
}

func text(errs field.ErrorList) []string {
	var all []string
	for _, err := range errs {
		all = append(all, err.Error())
	}
	slices.Sort(all)
	return all
}

func TestDefault(t *testing.T) {
	s := serviceOf(t, `{spec: {type: LoadBalancer, sessionAffinity: ClientIP, ports: [{port: 80}]}}`)
	got, _ := yaml.Marshal(s.Spec)
	want := `allocateLoadBalancerNodePorts: true
externalTrafficPolicy: Cluster
internalTrafficPolicy: Cluster
ports:
- port: 80
  protocol: TCP
  targetPort: 80
sessionAffinity: ClientIP
sessionAffinityConfig:
  clientIP:
    timeoutSeconds: 10800
type: LoadBalancer
`
	if string(got) != want {
		t.Errorf("got\n%s", got)
	}
}

func TestCreateGivesAddressesAndPorts(t *testing.T) {
	a := allocatorFor(t, nil, "10.43.0.0/16")
	s := serviceOf(t, `{spec: {type: NodePort, ports: [{name: d, port: 53, protocol: UDP}, {name: e, port: 53}, {name: f, port: 80, nodePort: 30080}]}}`)
	if err := create(t, a, s); err != nil {
		t.Fatal(err)
	}
	ip := netip.MustParseAddr(s.Spec.ClusterIP)
	if !netip.MustParsePrefix("10.43.0.0/16").Contains(ip) || ip.Less(netip.MustParseAddr("10.43.1.0")) {
		t.Errorf("address %s is not from the upper band", ip)
	}
	if policyOf(s) != corev1.IPFamilyPolicySingleStack || !slices.Equal(s.Spec.IPFamilies, []corev1.IPFamily{corev1.IPv4Protocol}) {
		t.Errorf("families %v %s", s.Spec.IPFamilies, policyOf(s))
	}
	p := s.Spec.Ports
	if p[0].NodePort != p[1].NodePort || p[0].NodePort < 30086 || p[2].NodePort != 30080 {
		t.Errorf("node ports %d %d %d", p[0].NodePort, p[1].NodePort, p[2].NodePort)
	}
}

func TestAddressesAreGivenOnceAndComeBack(t *testing.T) {
	a := allocatorFor(t, nil, "10.43.0.0/29") // .1 … .6
	var all []*corev1.Service
	for i := range 6 {
		s := serviceOf(t, `{spec: {ports: [{port: 80}]}}`)
		s.UID = types.UID(rune('a' + i))
		if err := create(t, a, s); err != nil {
			t.Fatal(err)
		}
		for _, other := range all {
			if other.Spec.ClusterIP == s.Spec.ClusterIP {
				t.Fatalf("%s given twice", s.Spec.ClusterIP)
			}
		}
		all = append(all, s)
	}
	late := serviceOf(t, `{spec: {ports: [{port: 80}]}}`)
	if err := create(t, a, late); err == nil || !strings.Contains(err.Error(), `failed to allocate a serviceIP for Service "s": range is full`) {
		t.Errorf("seventh: %v", err)
	}
	a.forget(all[3])
	if err := create(t, a, late); err != nil || late.Spec.ClusterIP != all[3].Spec.ClusterIP {
		t.Errorf("got %q, %v; want %s", late.Spec.ClusterIP, err, all[3].Spec.ClusterIP)
	}
}

func TestConcurrentCreatesNeverShare(t *testing.T) {
	a := allocatorFor(t, nil, "10.43.0.0/24")
	var wg sync.WaitGroup
	services := make([]*corev1.Service, 200)
	for i := range services {
		services[i] = serviceOf(t, `{spec: {type: NodePort, ports: [{port: 80}]}}`)
		services[i].UID = types.UID(rune(i + 1))
		wg.Go(func() {
			if _, err := a.allocate(t.Context(), services[i], nil, false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := map[any]bool{}
	for _, s := range services {
		for _, key := range []any{s.Spec.ClusterIP, s.Spec.Ports[0].NodePort} {
			if seen[key] {
				t.Errorf("%v given twice", key)
			}
			seen[key] = true
		}
	}
}

func TestRestartKeepsWhatStoredServicesHave(t *testing.T) {
	stored := serviceOf(t, `{metadata: {uid: stored}, spec: {type: NodePort, clusterIP: 10.43.0.10, clusterIPs: [10.43.0.10], ports: [{port: 80, nodePort: 30080}]}}`)
	a := allocatorFor(t, []corev1.Service{*stored}, "10.43.0.0/16")
	err := create(t, a, serviceOf(t, `{spec: {clusterIP: 10.43.0.10, ports: [{port: 80}]}}`))
	want := `Service "s" is invalid: spec.clusterIPs: Invalid value: ["10.43.0.10"]: failed to allocate IP 10.43.0.10: provided IP is already allocated`
	if err == nil || err.Error() != want {
		t.Errorf("address: got %v", err)
	}
	err = create(t, a, serviceOf(t, `{spec: {type: NodePort, ports: [{port: 80, nodePort: 30080}]}}`))
	want = `Service "s" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated`
	if err == nil || err.Error() != want {
		t.Errorf("port: got %v", err)
	}
}

func TestOutOfRangeIsRefused(t *testing.T) {
	a := allocatorFor(t, nil, "10.43.0.0/16")
	for spec, want := range map[string]string{
		`{spec: {clusterIP: 10.44.0.1, ports: [{port: 80}]}}`:             "failed to allocate IP 10.44.0.1: the provided network does not match the current range",
		`{spec: {clusterIP: 10.43.255.255, ports: [{port: 80}]}}`:         "the provided network does not match the current range",
		`{spec: {type: NodePort, ports: [{port: 80, nodePort: 80}]}}`:     "provided port is not in the valid range. The range of valid ports is 30000-32767",
		`{spec: {ipFamilyPolicy: RequireDualStack, ports: [{port: 80}]}}`: "this cluster is not configured for dual-stack services",
		`{spec: {ipFamilies: [IPv6], ports: [{port: 80}]}}`:               `spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster`,
	} {
		if err := create(t, a, serviceOf(t, spec)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", spec, err, want)
		}
	}
	if len(a.taken.owner) != 0 || len(a.ips.owner) != 0 {
		t.Error("a refused service left something behind")
	}
}

// planned are ranges, and one address that something else has.
type planned struct {
	ranges   []netip.Prefix
	reserved netip.Addr
}

func (p *planned) Ranges() []netip.Prefix      { return p.ranges }
func (p *planned) Reserved(ip netip.Addr) bool { return ip == p.reserved }

func TestFurtherRanges(t *testing.T) {
	a := allocatorFor(t, nil, "10.43.0.0/29")
	plan := &planned{reserved: netip.MustParseAddr("10.50.0.1")}
	a.plan = plan
	chosen := `{metadata: {uid: chosen}, spec: {clusterIP: 10.50.0.2, ports: [{port: 80}]}}`
	if err := create(t, a, serviceOf(t, chosen)); err == nil {
		t.Error("an address outside of every range was given")
	}
	plan.ranges = []netip.Prefix{netip.MustParsePrefix("10.43.0.0/29"), netip.MustParsePrefix("10.50.0.0/30"), netip.MustParsePrefix("10.50.0.0/24")}
	old := serviceOf(t, chosen)
	if err := create(t, a, old); err != nil {
		t.Fatal(err)
	}
	if err := create(t, a, serviceOf(t, `{spec: {clusterIP: 10.50.0.1, ports: [{port: 80}]}}`)); err == nil || !strings.Contains(err.Error(), "already allocated") {
		t.Errorf("reserved: %v", err)
	}
	got := map[string]bool{}
	for i := range 20 {
		s := serviceOf(t, `{spec: {ports: [{port: 80}]}}`)
		s.UID = types.UID(rune('a' + i))
		if err := create(t, a, s); err != nil {
			t.Fatal(err)
		}
		got[s.Spec.ClusterIP] = true
	}
	if len(got) != 20 || got["10.50.0.1"] || got["10.50.0.2"] {
		t.Errorf("got %v", got)
	}
	plan.ranges = plan.ranges[:1]
	now := old.DeepCopy()
	now.Spec.Ports[0].Port = 81
	update(t, a, now, old)
	if now.Spec.ClusterIP != "10.50.0.2" {
		t.Errorf("after its range had gone: %s", now.Spec.ClusterIP)
	}
}

func TestDryRunTakesNothing(t *testing.T) {
	a := allocatorFor(t, nil, "10.43.0.0/16")
	s := serviceOf(t, `{spec: {type: NodePort, ports: [{name: a, port: 80}, {name: b, port: 81}]}}`)
	if _, err := a.allocate(t.Context(), s, nil, true); err != nil {
		t.Fatal(err)
	}
	if s.Spec.Ports[0].NodePort == s.Spec.Ports[1].NodePort || s.Spec.ClusterIP == "" {
		t.Errorf("spec %+v", s.Spec)
	}
	if len(a.taken.owner) != 0 || len(a.ips.owner) != 0 {
		t.Error("the dry run took something")
	}
}

func TestDualStack(t *testing.T) {
	a := allocatorFor(t, nil, "10.43.0.0/16", "fd00:43::/108")
	s := serviceOf(t, `{spec: {ipFamilyPolicy: PreferDualStack, ports: [{port: 80}]}}`)
	if err := create(t, a, s); err != nil {
		t.Fatal(err)
	}
	if len(s.Spec.ClusterIPs) != 2 || familyOf(s.Spec.ClusterIPs[0]) != corev1.IPv4Protocol || familyOf(s.Spec.ClusterIPs[1]) != corev1.IPv6Protocol {
		t.Fatalf("addresses %v", s.Spec.ClusterIPs)
	}
	single := s.DeepCopy()
	*single.Spec.IPFamilyPolicy = corev1.IPFamilyPolicySingleStack
	update(t, a, single, s)
	if len(single.Spec.ClusterIPs) != 1 || len(a.ips.owner) != 1 {
		t.Errorf("after shrinking: %v, %d held", single.Spec.ClusterIPs, len(a.ips.owner))
	}
	again := single.DeepCopy()
	*again.Spec.IPFamilyPolicy = corev1.IPFamilyPolicyRequireDualStack
	update(t, a, again, single)
	if len(again.Spec.ClusterIPs) != 2 || again.Spec.ClusterIPs[0] != s.Spec.ClusterIPs[0] {
		t.Errorf("after growing: %v", again.Spec.ClusterIPs)
	}
}

// update does what the store does.
func update(t *testing.T, a *allocator, s, old *corev1.Service) {
	t.Helper()
	inherit(s, old)
	normalize(s, old)
	if _, err := a.allocate(t.Context(), s, old, false); err != nil {
		t.Fatal(err)
	}
	prepareForUpdate(t.Context(), s, old)
	if errs := validateUpdate(t.Context(), s, old); len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	a.settle(s)
}

func TestHeadlessAndExternalNameHaveNoAddress(t *testing.T) {
	a := allocatorFor(t, nil, "10.43.0.0/16")
	s := serviceOf(t, `{spec: {clusterIP: None}}`)
	if err := create(t, a, s); err != nil || s.Spec.ClusterIP != "None" || len(s.Spec.IPFamilies) != 2 {
		t.Errorf("headless: %v %+v", err, s.Spec)
	}
	s = serviceOf(t, `{spec: {type: ExternalName, externalName: example.com}}`)
	if err := create(t, a, s); err != nil || s.Spec.ClusterIP != "" || s.Spec.IPFamilies != nil {
		t.Errorf("external name: %v %+v", err, s.Spec)
	}
}

func TestChangeOfTypeGivesBack(t *testing.T) {
	a := allocatorFor(t, nil, "10.43.0.0/16")
	old := serviceOf(t, `{spec: {type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80}]}}`)
	if err := create(t, a, old); err != nil {
		t.Fatal(err)
	}
	if old.Spec.HealthCheckNodePort == 0 || len(a.taken.owner) != 2 {
		t.Fatalf("health check port %d, %d held", old.Spec.HealthCheckNodePort, len(a.taken.owner))
	}
	s := old.DeepCopy()
	s.Spec.Type = corev1.ServiceTypeClusterIP
	update(t, a, s, old)
	if s.Spec.Ports[0].NodePort != 0 || s.Spec.HealthCheckNodePort != 0 || len(a.taken.owner) != 0 {
		t.Errorf("ports %+v, %d held", s.Spec.Ports, len(a.taken.owner))
	}
	named := s.DeepCopy()
	named.Spec.Type, named.Spec.ExternalName = corev1.ServiceTypeExternalName, "example.com"
	update(t, a, named, s)
	if named.Spec.ClusterIP != "" || len(a.ips.owner) != 0 {
		t.Errorf("address %q, %d held", named.Spec.ClusterIP, len(a.ips.owner))
	}
}

func TestOverlappingUpdatesOfOneServiceKeepTheirPorts(t *testing.T) {
	a := allocatorFor(t, nil, "10.43.0.0/16")
	old := serviceOf(t, `{spec: {type: NodePort, ports: [{port: 80}]}}`)
	if err := create(t, a, old); err != nil {
		t.Fatal(err)
	}
	slow := old.DeepCopy() // wants another port, and is not written yet
	slow.Spec.Ports[0].NodePort = 30001
	if _, err := a.allocate(t.Context(), slow, old, false); err != nil {
		t.Fatal(err)
	}
	quick := old.DeepCopy() // written in between
	quick.Spec.Selector = map[string]string{"a": "b"}
	update(t, a, quick, old)
	thief := serviceOf(t, `{metadata: {uid: thief}, spec: {type: NodePort, ports: [{port: 80, nodePort: 30001}]}}`)
	if err := create(t, a, thief); err == nil {
		t.Error("a port that an update waits for was given away")
	}
	a.settle(slow)
	if a.taken.owner[old.Spec.Ports[0].NodePort] != "" {
		t.Error("the port given up is still held")
	}
}

func TestReplaceWithoutAddressesKeepsThem(t *testing.T) {
	a := allocatorFor(t, nil, "10.43.0.0/16")
	old := serviceOf(t, `{spec: {type: NodePort, ports: [{port: 80}]}}`)
	if err := create(t, a, old); err != nil {
		t.Fatal(err)
	}
	s := serviceOf(t, `{spec: {type: NodePort, ports: [{port: 81}]}}`)
	s.UID = "" // as in a file that kubectl replace is given
	update(t, a, s, old)
	if s.Spec.ClusterIP != old.Spec.ClusterIP || s.Spec.Ports[0].NodePort != old.Spec.Ports[0].NodePort {
		t.Errorf("got %s %d", s.Spec.ClusterIP, s.Spec.Ports[0].NodePort)
	}
}

func TestValidateSaysWhatIsWrongInUpstreamsWords(t *testing.T) {
	const ok = "clusterIP: 10.43.0.9, clusterIPs: [10.43.0.9], "
	for name, c := range map[string]struct {
		spec string
		want []string
	}{
		"no ports":        {"{" + ok + "}", []string{"spec.ports: Required value"}},
		"names":           {"{" + ok + "ports: [{port: 1}, {port: 2, name: b}]}", []string{"spec.ports[0].name: Required value"}},
		"port":            {"{" + ok + "ports: [{port: 0, targetPort: 1}]}", []string{"spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"}},
		"node port":       {"{" + ok + "ports: [{port: 1, nodePort: 30000}]}", []string{"spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"}},
		"type":            {"{" + ok + "type: Odd, ports: [{port: 1}]}", []string{`spec.type: Unsupported value: "Odd": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"`}},
		"external policy": {"{" + ok + "externalTrafficPolicy: Local, ports: [{port: 1}]}", []string{`spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services`}},
		"external name":   {"{type: ExternalName, externalName: A_b}", []string{`spec.externalName: Invalid value: "A_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`}},
		"external IP":     {"{" + ok + "externalIPs: [127.0.0.1], ports: [{port: 1}]}", []string{`spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`}},
		"first address":   {"{clusterIP: 10.43.0.1, clusterIPs: [10.43.0.2], ports: [{port: 1}]}", []string{"spec.clusterIPs: Invalid value: [\"10.43.0.2\"]: first value must match `clusterIP`"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := text(validate(serviceOf(t, "spec: "+c.spec), nil)); !slices.Equal(got, c.want) {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestClusterIPIsImmutable(t *testing.T) {
	old := serviceOf(t, "{spec: {clusterIP: 10.43.0.9, clusterIPs: [10.43.0.9], ports: [{port: 1}]}}")
	now := serviceOf(t, "{spec: {clusterIP: 10.43.0.8, clusterIPs: [10.43.0.8], ports: [{port: 1}]}}")
	want := []string{`spec.clusterIPs[0]: Invalid value: ["10.43.0.8"]: may not change once set`}
	if got := text(validateUpdate(t.Context(), now, old)); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestColumns(t *testing.T) {
	for spec, want := range map[string][]any{
		`{clusterIP: 10.43.0.9, clusterIPs: [10.43.0.9], ports: [{port: 80, nodePort: 30080}, {port: 53, protocol: UDP}], type: NodePort, selector: {a: b}}`: {
			"NodePort", "10.43.0.9", "<none>", "80:30080/TCP,53/UDP", "<unknown>", "a=b"},
		`{type: LoadBalancer, ports: [{port: 80}]}`:    {"LoadBalancer", "<none>", "<pending>", "80/TCP", "<unknown>", "<none>"},
		`{type: ExternalName, externalName: e.com}`:    {"ExternalName", "<none>", "e.com", "<none>", "<unknown>", "<none>"},
		`{clusterIPs: [None], externalIPs: [1.2.3.4]}`: {"ClusterIP", "None", "1.2.3.4", "<none>", "<unknown>", "<none>"},
	} {
		if got := cells(serviceOf(t, "spec: "+spec)); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func FuzzRulesNeverPanic(f *testing.F) {
	for seed := range 200 {
		f.Add(int64(seed))
	}
	f.Fuzz(func(t *testing.T, seed int64) {
		var now, old corev1.Service
		fill := randfill.NewWithSeed(seed).NilChance(0.4).NumElements(0, 3)
		fill.Fill(&now)
		fill.Fill(&old)
		a := allocatorFor(t, nil, "10.43.0.0/16")
		Default(&now)
		inherit(&now, &old)
		normalize(&now, &old)
		undo, err := a.allocate(t.Context(), &now, &old, false)
		if err == nil {
			undo()
		}
		prepareForUpdate(t.Context(), &now, &old)
		validateUpdate(t.Context(), &now, &old)
		validateStatusUpdate(t.Context(), &now, &old)
		cells(&now)
		if n := len(a.taken.owner); n != 0 {
			t.Errorf("%d ports held", n)
		}
	})
}
