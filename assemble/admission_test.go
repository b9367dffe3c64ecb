//go:build !nocluster

package assemble

import (
	"slices"
	"strings"
	"testing"
)

func TestPluginsThatRunAreUpstreamsAndNodeRestriction(t *testing.T) {
	var names []string
	for _, p := range slices.Concat(plugins(), ownPlugins(), lastPlugins()) {
		if (AdmissionConfig{}).runs(p) {
			names = append(names, p.name)
		}
	}
	const want = "NamespaceLifecycle LimitRanger ServiceAccount NodeRestriction TaintNodesByCondition PodSecurity Priority " +
		"DefaultTolerationSeconds DefaultStorageClass StorageObjectInUseProtection PodGroupProtection PersistentVolumeClaimResize " +
		"RuntimeClass CertificateApproval CertificateSigning ClusterTrustBundleAttest CertificateSubjectRestriction " +
		"DefaultIngressClass PodTopologyLabels PodGroupWorkloadExists NodeDeclaredFeatureValidator JobValidation PodResizeValidator " +
		"MutatingAdmissionPolicy MutatingAdmissionWebhook ValidatingAdmissionPolicy ValidatingAdmissionWebhook ResourceQuota"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestChosenPluginsRunInPlaceOfOthers(t *testing.T) {
	c := AdmissionConfig{Enable: []string{"AlwaysPullImages"}, Disable: []string{"DefaultTolerationSeconds", "ValidatingAdmissionWebhook"}}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	if got := c.without(ownPlugins()); !slices.Equal(got, []string{"ValidatingAdmissionWebhook"}) {
		t.Errorf("without %v", got)
	}
	if got := c.without(plugins()); slices.Contains(got, "AlwaysPullImages") || !slices.Contains(got, "DefaultTolerationSeconds") {
		t.Errorf("without %v", got)
	}
}

func TestPluginsThatThereAreNotAreRefused(t *testing.T) {
	for want, c := range map[string]AdmissionConfig{
		`--enable-admission-plugins: plugin "None" is unknown`:  {Enable: []string{"None"}},
		`--disable-admission-plugins: plugin "None" is unknown`: {Disable: []string{"None"}},
		`plugin "Priority" is named by both`:                    {Enable: []string{"Priority"}, Disable: []string{"Priority"}},
		`--admission-control-config-file: `:                     {File: "missing.yaml"},
	} {
		if err := c.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
