package podspec

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/randfill"
	"sigs.k8s.io/yaml"
)

func specOf(t *testing.T, text string) *corev1.PodSpec {
	t.Helper()
	var spec corev1.PodSpec
	if err := yaml.UnmarshalStrict([]byte(text), &spec); err != nil {
		t.Fatal(err)
	}
	return &spec
}

// errorsOf validates a defaulted pod of the given specification.
func errorsOf(t *testing.T, text string) []string {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default"}, Spec: *specOf(t, text)}
	DefaultPod(pod)
	var all []string
	for _, err := range Validate(&pod.Spec, &pod.ObjectMeta, field.NewPath("spec")) {
		all = append(all, err.Error())
	}
	slices.Sort(all)
	return all
}

func TestDefaultFillsWhatUpstreamFills(t *testing.T) {
	pod := &corev1.Pod{Spec: *specOf(t, `
hostNetwork: true
containers:
- name: c
  image: nginx
  ports: [{containerPort: 80}]
  env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
  resources: {limits: {cpu: "1", memory: 1Gi}, requests: {cpu: 500u}}
  livenessProbe: {httpGet: {port: 80}}
  lifecycle: {preStop: {httpGet: {port: 80}}}
- {name: d, image: "registry:5000/app:v1"}
- {name: e, image: "app@sha256:0000000000000000000000000000000000000000000000000000000000000000"}
volumes:
- name: empty
- {name: config, configMap: {name: c}}
- {name: secret, secret: {secretName: s}}
- {name: host, hostPath: {path: /}}
- name: all
  projected: {sources: [{serviceAccountToken: {path: token}}, {downwardAPI: {items: [{path: file, fieldRef: {fieldPath: metadata.name}}]}}]}
`)}
	DefaultPod(pod)
	got, err := yaml.Marshal(pod.Spec)
	if err != nil {
		t.Fatal(err)
	}
	want := `containers:
- env:
  - name: IP
    valueFrom:
      fieldRef:
        apiVersion: v1
        fieldPath: status.podIP
  image: nginx
  imagePullPolicy: Always
  lifecycle:
    preStop:
      httpGet:
        path: /
        port: 80
        scheme: HTTP
  livenessProbe:
    failureThreshold: 3
    httpGet:
      path: /
      port: 80
      scheme: HTTP
    periodSeconds: 10
    successThreshold: 1
    timeoutSeconds: 1
  name: c
  ports:
  - containerPort: 80
    hostPort: 80
    protocol: TCP
  resources:
    limits:
      cpu: "1"
      memory: 1Gi
    requests:
      cpu: 1m
      memory: 1Gi
  terminationMessagePath: /dev/termination-log
  terminationMessagePolicy: File
- image: registry:5000/app:v1
  imagePullPolicy: IfNotPresent
  name: d
  resources: {}
  terminationMessagePath: /dev/termination-log
  terminationMessagePolicy: File
- image: app@sha256:0000000000000000000000000000000000000000000000000000000000000000
  imagePullPolicy: IfNotPresent
  name: e
  resources: {}
  terminationMessagePath: /dev/termination-log
  terminationMessagePolicy: File
dnsPolicy: ClusterFirst
enableServiceLinks: true
hostNetwork: true
restartPolicy: Always
schedulerName: default-scheduler
securityContext: {}
terminationGracePeriodSeconds: 30
volumes:
- emptyDir: {}
  name: empty
- configMap:
    defaultMode: 420
    name: c
  name: config
- name: secret
  secret:
    defaultMode: 420
    secretName: s
- hostPath:
    path: /
    type: ""
  name: host
- name: all
  projected:
    defaultMode: 420
    sources:
    - serviceAccountToken:
        expirationSeconds: 3600
        path: token
    - downwardAPI:
        items:
        - fieldRef:
            apiVersion: v1
            fieldPath: metadata.name
          path: file
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestValidateAcceptsGoodPods(t *testing.T) {
	for name, text := range map[string]string{
		"plain": `containers: [{name: c, image: i}]`,
		"sidecar": `{initContainers: [{name: s, image: i, restartPolicy: Always, readinessProbe: {tcpSocket: {port: 1}}}],
                     containers: [{name: c, image: i}]}`,
		"mounts": `{containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /v, subPath: a/b}]}], volumes: [{name: v}]}`,
		"affinity": `
containers: [{name: c, image: i}]
affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [
  {weight: 1, podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {a: b}}}}]}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {a: b}}}]
tolerations: [{operator: Exists}, {key: k, value: v, effect: NoExecute, tolerationSeconds: 3}]`,
		"secure": `
containers: [{name: c, image: i, securityContext: {privileged: true, seccompProfile: {type: Localhost, localhostProfile: a/b.json}}}]
securityContext: {runAsUser: 0, fsGroup: 5, sysctls: [{name: net.ipv4.ip_local_port_range, value: "1 2"}], appArmorProfile: {type: RuntimeDefault}}`,
		"dns": `{containers: [{name: c, image: i}], dnsPolicy: None, dnsConfig: {nameservers: [1.1.1.1], searches: [_x.example.com., .]}}`,
		"labels as variables": `{containers: [{name: c, image: i, env: [{name: L, valueFrom: {fieldRef: {fieldPath: "metadata.labels['a/b']"}}},
                     {name: "odd name!", valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if errs := errorsOf(t, text); len(errs) > 0 {
				t.Errorf("unexpected: %s", strings.Join(errs, "\n"))
			}
		})
	}
}

func TestValidateSaysWhatIsWrongInUpstreamsWords(t *testing.T) {
	for name, c := range map[string]struct {
		spec string
		want []string
	}{
		"no containers": {`containers: []`, []string{`spec.containers: Required value`}},
		"bad name and no image": {`containers: [{name: A_b}]`, []string{
			`spec.containers[0].image: Required value`,
			`spec.containers[0].name: Invalid value: "A_b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`}},
		"two of a name": {`containers: [{name: a, image: i}, {name: a, image: i}]`, []string{
			`spec.containers[1].name: Duplicate value: "a"`}},
		"unknown restart policy": {`{restartPolicy: Sometimes, containers: [{name: a, image: i}]}`, []string{
			`spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"`}},
		"requests above limits": {`containers: [{name: a, image: i, resources: {limits: {cpu: 1}, requests: {cpu: 2}}}]`, []string{
			`spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1`}},
		"unknown resource": {`containers: [{name: a, image: i, resources: {limits: {gpu: 1}}}]`, []string{
			`spec.containers[0].resources.limits[gpu]: Invalid value: "gpu": must be a standard resource for containers`,
			`spec.containers[0].resources.limits[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified`,
			`spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": must be a standard resource for containers`,
			`spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified`}},
		"no such volume": {`containers: [{name: a, image: i, volumeMounts: [{name: v, mountPath: /v}]}]`, []string{
			`spec.containers[0].volumeMounts[0].name: Not found: "v"`}},
		"same mount path": {`{containers: [{name: a, image: i, volumeMounts: [{name: v, mountPath: /v}, {name: v, mountPath: /v}]}], volumes: [{name: v}]}`, []string{
			`spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/v": must be unique`}},
		"steps back": {`{containers: [{name: a, image: i, volumeMounts: [{name: v, mountPath: /v, subPath: ../x}]}], volumes: [{name: v}]}`, []string{
			`spec.containers[0].volumeMounts.subPath: Invalid value: "../x": must not contain '..'`}},
		"two volume types": {`{containers: [{name: a, image: i}], volumes: [{name: v, emptyDir: {}, hostPath: {path: /}}]}`, []string{
			`spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type`}},
		"port twice on the host": {`containers: [{name: a, image: i, ports: [{containerPort: 1, hostPort: 8}, {containerPort: 2, hostPort: 8}]}]`, []string{
			`spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//8"`}},
		"port out of range": {`containers: [{name: a, image: i, ports: [{containerPort: 70000}]}]`, []string{
			`spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive`}},
		"probe without handler": {`containers: [{name: a, image: i, livenessProbe: {}}]`, []string{
			`spec.containers[0].livenessProbe: Required value: must specify a handler type`}},
		"liveness needs one success": {`containers: [{name: a, image: i, livenessProbe: {successThreshold: 2, exec: {command: [x]}}}]`, []string{
			`spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1`}},
		"probe of an init container": {`{initContainers: [{name: b, image: i, livenessProbe: {exec: {command: [x]}}}], containers: [{name: a, image: i}]}`, []string{
			`spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always`}},
		"unknown field reference": {`containers: [{name: a, image: i, env: [{name: E, valueFrom: {fieldRef: {fieldPath: spec.nope}}}]}]`, []string{
			`spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.nope": error converting fieldPath: field label not supported: spec.nope`}},
		"two sources of a variable": {`containers: [{name: a, image: i, env: [{name: E, value: x, valueFrom: {secretKeyRef: {name: s, key: k}}}]}]`, []string{
			`spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when ` + "`value`" + ` is not empty`}},
		"toleration without a key": {`{containers: [{name: a, image: i}], tolerations: [{effect: NoExecute}]}`, []string{
			`spec.tolerations[0].operator: Invalid value: "": operator must be Exists when ` + "`key`" + ` is empty, which means "match all values and all keys"`}},
		"selector operator": {`{containers: [{name: a, image: i}], affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: k, operator: Is}]}]}}}}`, []string{
			`spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator`}},
		"dns without servers": {`{containers: [{name: a, image: i}], dnsPolicy: None}`, []string{
			"spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"}},
		"escalation of the privileged": {`containers: [{name: a, image: i, securityContext: {seccompProfile: {type: Localhost}}}]`, []string{
			`spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost`}},
		"mode of a file": {`{containers: [{name: a, image: i}], volumes: [{name: v, configMap: {name: c, defaultMode: 512}}]}`, []string{
			`spec.volumes[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive`}},
		"short token": {`{serviceAccountName: s, containers: [{name: a, image: i}], volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t, expirationSeconds: 5}}]}}]}`, []string{
			`spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes`}},
		"sysctl of the host": {`{hostNetwork: true, containers: [{name: a, image: i}], securityContext: {sysctls: [{name: net.core.somaxconn, value: "1"}]}}`, []string{
			`spec.securityContext.sysctls[0].name: Invalid value: "net.core.somaxconn": may not be specified when 'hostNetwork' is true`}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := errorsOf(t, c.spec); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestQOSClass(t *testing.T) {
	for _, c := range []struct {
		spec string
		want corev1.PodQOSClass
	}{
		{`containers: [{name: a}]`, corev1.PodQOSBestEffort},
		{`containers: [{name: a, resources: {requests: {cpu: 1}}}]`, corev1.PodQOSBurstable},
		{`containers: [{name: a, resources: {limits: {cpu: 1, memory: 1Gi}}}]`, corev1.PodQOSGuaranteed},
		{`containers: [{name: a, resources: {limits: {cpu: 1, memory: 1Gi}}}, {name: b}]`, corev1.PodQOSBurstable},
		{`containers: [{name: a, resources: {limits: {cpu: 1}}}]`, corev1.PodQOSBurstable},
		{`{resources: {limits: {cpu: 1, memory: 1Gi}}, containers: [{name: a}]}`, corev1.PodQOSGuaranteed},
	} {
		pod := &corev1.Pod{Spec: *specOf(t, c.spec)}
		DefaultPod(pod)
		if got := QOSClass(pod); got != c.want {
			t.Errorf("%s: got %s, want %s", c.spec, got, c.want)
		}
	}
}

func TestDefaultIsIdempotent(t *testing.T) {
	pod := &corev1.Pod{Spec: *specOf(t, `{hostNetwork: true, containers: [{name: a, image: i, ports: [{containerPort: 1}]}], volumes: [{name: v}]}`)}
	DefaultPod(pod)
	again := pod.DeepCopy()
	DefaultPod(again)
	a, _ := yaml.Marshal(pod)
	b, _ := yaml.Marshal(again)
	if string(a) != string(b) {
		t.Errorf("first\n%s\nsecond\n%s", a, b)
	}
}

func FuzzRulesNeverPanic(f *testing.F) {
	for seed := range 200 {
		f.Add(int64(seed))
	}
	f.Fuzz(func(t *testing.T, seed int64) {
		var pod corev1.Pod
		randfill.NewWithSeed(seed).NilChance(0.5).NumElements(0, 3).MaxDepth(12).Fill(&pod)
		Validate(&pod.Spec, &pod.ObjectMeta, field.NewPath("spec"))
		DefaultPod(&pod)
		Validate(&pod.Spec, &pod.ObjectMeta, field.NewPath("spec"))
		ValidateTemplate(&corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}, field.NewPath("template"))
		DropDisabled(&pod.Spec, nil)
		QOSClass(&pod)
	})
}

func TestANegativeGraceIsOneSecond(t *testing.T) {
	grace := int64(-1)
	pod := &corev1.Pod{Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &grace}}
	DefaultPod(pod)
	if got := *pod.Spec.TerminationGracePeriodSeconds; got != 1 {
		t.Errorf("grace %d", got)
	}
}
