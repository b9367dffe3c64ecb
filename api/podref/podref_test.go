package podref

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"dhow/api/admit/admittest"
)

func TestNamesThatAPodUses(t *testing.T) {
	spec := admittest.YAML[corev1.PodSpec](t, `{imagePullSecrets: [{name: pull}],
		initContainers: [{name: i, envFrom: [{secretRef: {name: from}}, {configMapRef: {name: mapfrom}}]}],
		containers: [{name: c, env: [{name: A, valueFrom: {secretKeyRef: {name: key, key: k}}}, {name: B, valueFrom: {configMapKeyRef: {name: mapkey, key: k}}}]}],
		volumes: [{name: a, secret: {secretName: volume}}, {name: b, projected: {sources: [{secret: {name: projected}}, {configMap: {name: mapprojected}}]}},
			{name: c, csi: {driver: d, nodePublishSecretRef: {name: csi}}}, {name: d, configMap: {name: mapvolume}}, {name: e, azureFile: {shareName: s, secretName: ""}}]}`)
	if got, want := slices.Collect(Secrets(spec)), []string{"pull", "from", "key", "volume", "projected", "csi"}; !slices.Equal(got, want) {
		t.Errorf("secrets %v", got)
	}
	if got, want := slices.Collect(ConfigMaps(spec)), []string{"mapfrom", "mapkey", "mapprojected", "mapvolume"}; !slices.Equal(got, want) {
		t.Errorf("config maps %v", got)
	}
}

func TestFirstTellsWhetherAPodNeedsTheAPI(t *testing.T) {
	for text, want := range map[string]string{
		`{volumes: [{name: v, hostPath: {path: /}}, {name: w, emptyDir: {}}, {name: d, projected: {sources: [{downwardAPI: {}}]}}]}`: "",
		`{serviceAccountName: a}`:                                                          "serviceaccounts",
		`{imagePullSecrets: [{name: a}]}`:                                                  "secrets",
		`{volumes: [{name: v, configMap: {name: a}}]}`:                                     "configmaps",
		`{volumes: [{name: v, configMap: {}}]}`:                                            "configmaps (via configmap volumes)",
		`{resourceClaims: [{name: a}]}`:                                                    "resourceclaims",
		`{volumes: [{name: v, persistentVolumeClaim: {claimName: a}}]}`:                    "persistentvolumeclaims",
		`{volumes: [{name: v, ephemeral: {}}]}`:                                            "persistentvolumeclaims (via ephemeral volumes)",
		`{volumes: [{name: v, csi: {driver: a}}]}`:                                         "csidrivers (via CSI volumes)",
		`{volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: a}}]}}]}`: "serviceaccounts (via projected volumes)",
	} {
		got, err := First(admittest.YAML[corev1.PodSpec](t, text))
		if got != want || err != nil {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	if _, err := First(&corev1.PodSpec{Volumes: []corev1.Volume{{Name: "v"}}}); err == nil {
		t.Error("a volume of no kind is let through")
	}
}
