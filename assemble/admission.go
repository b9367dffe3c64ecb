//go:build !nocluster

package assemble

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	apiserverconfig "k8s.io/apiserver/pkg/apis/apiserver/install"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/api/admit"
	"dhow/garbage"
	"dhow/kinds/certificate"
	"dhow/kinds/event"
	"dhow/kinds/ingressclass"
	"dhow/kinds/limitrange"
	"dhow/kinds/namespace"
	namespaceplugins "dhow/kinds/namespace/plugins"
	"dhow/kinds/node"
	"dhow/kinds/persistentvolumeclaim"
	"dhow/kinds/pod"
	podplugins "dhow/kinds/pod/plugins"
	"dhow/kinds/priorityclass"
	"dhow/kinds/resourcequota"
	"dhow/kinds/runtimeclass"
	"dhow/kinds/service"
	"dhow/kinds/serviceaccount"
	"dhow/kinds/storageclass"
)

// AdmissionConfig chooses admission plug-ins, as upstream's flags do.
type AdmissionConfig struct {
	// Enable and Disable name plug-ins beyond and without those that are on by default.
	Enable, Disable []string
	// File holds the plug-ins' configurations (AdmissionConfiguration); none when empty.
	File string
}

// plugin is one admission plug-in.
type plugin struct {
	name string
	on   bool // by default
	// make is nil for those that the API server itself has (webhooks, policies), and for those that have nothing to
	// look at: groups of pods are not served, and nodes here declare no features.
	make func(needs) (admission.Interface, error)
}

// needs are what plug-ins are made of.
type needs struct {
	client        kubernetes.Interface
	informers     informers.SharedInformerFactory
	configuration []byte // the plug-in's own
}

const on, off = true, false

// bare is a plug-in that needs nothing.
func bare(make func() admission.Interface) func(needs) (admission.Interface, error) {
	return func(needs) (admission.Interface, error) { return make(), nil }
}

// reading is a plug-in that reads what informers know.
func reading(make func(informers.SharedInformerFactory) admission.Interface) func(needs) (admission.Interface, error) {
	return func(n needs) (admission.Interface, error) { return make(n.informers), nil }
}

// asking is a plug-in that reads, and asks the server for what is younger.
func asking(make func(informers.SharedInformerFactory, kubernetes.Interface) admission.Interface) func(needs) (admission.Interface, error) {
	return func(n needs) (admission.Interface, error) { return make(n.informers, n.client), nil }
}

// configured is asking with a configuration of the plug-in's own.
func configured(make func(informers.SharedInformerFactory, kubernetes.Interface, []byte) (admission.Interface, error)) func(needs) (admission.Interface, error) {
	return func(n needs) (admission.Interface, error) { return make(n.informers, n.client, n.configuration) }
}

// plugins are all, in the order they run in: upstream's. Nodes are restricted by default, which upstream leaves to
// installers.
func plugins() []plugin {
	return []plugin{
		{"AlwaysAdmit", off, bare(admit.Always)},
		{"NamespaceAutoProvision", off, asking(namespaceplugins.AutoProvision)},
		{"NamespaceLifecycle", on, asking(namespace.Lifecycle)},
		{"NamespaceExists", off, asking(namespaceplugins.Exists)},
		{"LimitPodHardAntiAffinityTopology", off, bare(podplugins.AntiAffinityTopology)},
		{"LimitRanger", on, asking(limitrange.Admission)},
		{"ServiceAccount", on, asking(serviceaccount.Admission)},
		{"NodeRestriction", on, reading(node.Restriction)},
		{"TaintNodesByCondition", on, bare(node.TaintNodesByCondition)},
		{"AlwaysPullImages", off, bare(podplugins.AlwaysPullImages)},
		{"PodSecurity", on, configured(namespace.PodSecurity)},
		{"PodNodeSelector", off, configured(podplugins.NodeSelector)},
		{"Priority", on, asking(priorityclass.Admission)},
		{"DefaultTolerationSeconds", on, bare(pod.DefaultTolerationSeconds)},
		{"PodTolerationRestriction", off, configured(podplugins.TolerationRestriction)},
		{"EventRateLimit", off, func(n needs) (admission.Interface, error) { return event.RateLimit(n.configuration) }},
		{"ExtendedResourceToleration", off, bare(podplugins.ExtendedResourceToleration)},
		{"DefaultStorageClass", on, reading(storageclass.Admission)},
		{"StorageObjectInUseProtection", on, bare(persistentvolumeclaim.InUseProtection)},
		{"PodGroupProtection", on, nil},
		{"OwnerReferencesPermissionEnforcement", off, func(n needs) (admission.Interface, error) { return garbage.OwnerPermission(n.client), nil }},
		{"PersistentVolumeClaimResize", on, reading(storageclass.Resize)},
		{"RuntimeClass", on, asking(runtimeclass.Admission)},
		{"CertificateApproval", on, bare(certificate.Approval)},
		{"CertificateSigning", on, bare(certificate.Signing)},
		{"ClusterTrustBundleAttest", on, bare(certificate.Attest)},
		{"CertificateSubjectRestriction", on, bare(certificate.SubjectRestriction)},
		{"DefaultIngressClass", on, reading(ingressclass.Admission)},
		{"DenyServiceExternalIPs", off, bare(service.DenyExternalIPs)},
		{"PodTopologyLabels", on, reading(podplugins.TopologyLabels)},
		{"PodGroupWorkloadExists", on, nil},
		{"NodeDeclaredFeatureValidator", on, nil},
		{"JobValidation", on, nil},
		{"PodResizeValidator", on, reading(podplugins.ResizeWithinNode)},
	}
}

// ownPlugins run in the API server itself, behind plugins.
func ownPlugins() []plugin {
	return []plugin{
		{"MutatingAdmissionPolicy", on, nil},
		{"MutatingAdmissionWebhook", on, nil},
		{"ValidatingAdmissionPolicy", on, nil},
		{"ValidatingAdmissionWebhook", on, nil},
	}
}

// lastPlugins run when nothing can change a request any more.
func lastPlugins() []plugin {
	return []plugin{
		{"ResourceQuota", on, asking(resourcequota.Admission)},
		{"AlwaysDeny", off, bare(admit.Never)},
	}
}

// check refuses names that no plug-in has, and contradictions.
func (c AdmissionConfig) check() error {
	var names []string
	for _, p := range slices.Concat(plugins(), ownPlugins(), lastPlugins()) {
		names = append(names, p.name)
	}
	for flag, list := range map[string][]string{"enable-admission-plugins": c.Enable, "disable-admission-plugins": c.Disable} {
		for _, name := range list {
			if !slices.Contains(names, name) {
				slices.Sort(names)
				return fmt.Errorf("--%s: plugin %q is unknown; there are %s", flag, name, strings.Join(names, ", "))
			}
		}
	}
	for _, name := range c.Enable {
		if slices.Contains(c.Disable, name) {
			return fmt.Errorf("plugin %q is named by both --enable-admission-plugins and --disable-admission-plugins", name)
		}
	}
	_, err := c.files()
	return err
}

// runs says whether a plug-in is to run.
func (c AdmissionConfig) runs(p plugin) bool {
	return (p.on || slices.Contains(c.Enable, p.name)) && !slices.Contains(c.Disable, p.name)
}

// without are the names of those of list that are not to run.
func (c AdmissionConfig) without(list []plugin) []string {
	var names []string
	for _, p := range list {
		if !c.runs(p) {
			names = append(names, p.name)
		}
	}
	return names
}

// make makes those of list that are to run.
func (c AdmissionConfig) make(list []plugin) func(kubernetes.Interface, informers.SharedInformerFactory) ([]admission.Interface, error) {
	return func(client kubernetes.Interface, f informers.SharedInformerFactory) ([]admission.Interface, error) {
		files, err := c.files()
		if err != nil {
			return nil, err
		}
		var all []admission.Interface
		for _, p := range list {
			if p.make == nil || !c.runs(p) {
				continue
			}
			configuration, err := read(files, p.name)
			if err != nil {
				return nil, err
			}
			made, err := p.make(needs{client, f, configuration})
			if err != nil {
				return nil, err
			}
			all = append(all, made)
		}
		return all, nil
	}
}

// files finds the plug-ins' configurations; nil without a file.
func (c AdmissionConfig) files() (admission.ConfigProvider, error) {
	if c.File == "" {
		return nil, nil
	}
	scheme := runtime.NewScheme()
	apiserverconfig.Install(scheme)
	files, err := admission.ReadAdmissionConfiguration([]string{"PodNodeSelector"}, c.File, scheme)
	if err != nil {
		return nil, fmt.Errorf("--admission-control-config-file: %w", err)
	}
	return files, nil
}

// read is the configuration of one plug-in; empty if it has none.
func read(files admission.ConfigProvider, name string) ([]byte, error) {
	if files == nil {
		return nil, nil
	}
	r, err := files.ConfigFor(name)
	if err != nil || r == nil {
		return nil, err
	}
	return io.ReadAll(r)
}
