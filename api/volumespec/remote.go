package volumespec

import (
	"net"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// remoteSources are the volumes of storage systems that no longer have a driver in Kubernetes' tree: the API
// still accepts them, for CSI migration.
func remoteSources(v *corev1.Volume) []source {
	return append(deviceSources(v), []source{
		{"gitRepo", v.GitRepo != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("repository"), v.GitRepo.Repository)
			l.Descending(at.Child("directory"), v.GitRepo.Directory)
		}},
		{"glusterfs", v.Glusterfs != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("endpoints"), v.Glusterfs.EndpointsName)
			l.NonEmpty(at.Child("path"), v.Glusterfs.Path)
		}},
		{"flocker", v.Flocker != nil, func(l *check.List, at *field.Path) { checkFlocker(l, at, v.Flocker) }},
		{"rbd", v.RBD != nil, func(l *check.List, at *field.Path) {
			nonEmptyList(l, at.Child("monitors"), v.RBD.CephMonitors)
			l.NonEmpty(at.Child("image"), v.RBD.RBDImage)
		}},
		{"cephfs", v.CephFS != nil, func(l *check.List, at *field.Path) {
			nonEmptyList(l, at.Child("monitors"), v.CephFS.Monitors)
		}},
		{"quobyte", v.Quobyte != nil, func(l *check.List, at *field.Path) { checkQuobyte(l, at, v.Quobyte) }},
		{"flexVolume", v.FlexVolume != nil, func(l *check.List, at *field.Path) { checkFlex(l, at, v.FlexVolume) }},
		{"azureFile", v.AzureFile != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("secretName"), v.AzureFile.SecretName)
			l.NonEmpty(at.Child("shareName"), v.AzureFile.ShareName)
		}},
		{"portworxVolume", v.PortworxVolume != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("volumeID"), v.PortworxVolume.VolumeID)
		}},
		{"storageos", v.StorageOS != nil, func(l *check.List, at *field.Path) { checkStorageOS(l, at, v.StorageOS) }},
		{"scaleIO", v.ScaleIO != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("gateway"), v.ScaleIO.Gateway)
			l.NonEmpty(at.Child("system"), v.ScaleIO.System)
			l.NonEmpty(at.Child("volumeName"), v.ScaleIO.VolumeName)
		}},
	}...)
}

func deviceSources(v *corev1.Volume) []source {
	return []source{
		{"gcePersistentDisk", v.GCEPersistentDisk != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("pdName"), v.GCEPersistentDisk.PDName)
			l.Range(at.Child("partition"), int(v.GCEPersistentDisk.Partition), 0, 255)
		}},
		{"awsElasticBlockStore", v.AWSElasticBlockStore != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("volumeID"), v.AWSElasticBlockStore.VolumeID)
			l.Range(at.Child("partition"), int(v.AWSElasticBlockStore.Partition), 0, 255)
		}},
		{"iscsi", v.ISCSI != nil, func(l *check.List, at *field.Path) { checkISCSI(l, at, v.Name, v.ISCSI) }},
		{"cinder", v.Cinder != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("volumeID"), v.Cinder.VolumeID)
			checkSecretRef(l, at.Child("secretRef", "name"), v.Cinder.SecretRef)
		}},
		{"fc", v.FC != nil, func(l *check.List, at *field.Path) { checkFC(l, at, v.FC) }},
		{"vsphereVolume", v.VsphereVolume != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("volumePath"), v.VsphereVolume.VolumePath)
		}},
		{"photonPersistentDisk", v.PhotonPersistentDisk != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("pdID"), v.PhotonPersistentDisk.PdID)
		}},
		{"azureDisk", v.AzureDisk != nil, func(l *check.List, at *field.Path) { checkAzureDisk(l, at, v.AzureDisk) }},
	}
}

func nonEmptyList(l *check.List, at *field.Path, list []string) {
	if len(list) == 0 {
		l.Required(at, "")
	}
}

func checkSecretRef(l *check.List, at *field.Path, ref *corev1.LocalObjectReference) {
	if ref != nil {
		l.NonEmpty(at, ref.Name)
	}
}

// iscsiName matches the three forms of RFC 3720: iqn, eui, naa.
var iscsiName = map[string]*regexp.Regexp{
	"iqn": regexp.MustCompile(`^iqn\.\d{4}-\d{2}\.([[:alnum:]-.]+)(:[^,;*&$|\s]+)$`),
	"eui": regexp.MustCompile(`^eui.[[:alnum:]]{16}$`),
	"naa": regexp.MustCompile(`^naa.[[:alnum:]]{32}$`),
}

func checkISCSI(l *check.List, at *field.Path, volume string, s *corev1.ISCSIVolumeSource) {
	l.NonEmpty(at.Child("targetPortal"), s.TargetPortal)
	if l.NonEmpty(at.Child("iqn"), s.IQN) {
		checkISCSIName(l, at.Child("iqn"), s.IQN)
	}
	l.Range(at.Child("lun"), int(s.Lun), 0, 255)
	if (s.DiscoveryCHAPAuth || s.SessionCHAPAuth) && s.SecretRef == nil {
		l.Required(at.Child("secretRef"), "")
	}
	if s.InitiatorName == nil {
		return
	}
	checkISCSIName(l, at.Child("initiatorname"), *s.InitiatorName)
	if len(volume+":"+s.TargetPortal) > 64 {
		l.Invalid(at.Child("name"), volume, "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.")
	}
}

func checkISCSIName(l *check.List, at *field.Path, name string) {
	pattern, known := iscsiName[name[:min(3, len(name))]]
	switch {
	case !known:
		l.Invalid(at, name, "must be valid format starting with iqn, eui, or naa")
	case !pattern.MatchString(name):
		l.Invalid(at, name, "must be valid format")
	}
}

func checkFC(l *check.List, at *field.Path, s *corev1.FCVolumeSource) {
	switch byName, byID := len(s.TargetWWNs) > 0, len(s.WWIDs) > 0; {
	case !byName && !byID:
		l.Required(at.Child("targetWWNs"), "must specify either targetWWNs or wwids, but not both")
	case byName && byID:
		l.Invalid(at.Child("targetWWNs"), s.TargetWWNs, "targetWWNs and wwids can not be specified simultaneously")
	case byName && s.Lun == nil:
		l.Required(at.Child("lun"), "lun is required if targetWWNs is specified")
	case byName:
		l.Range(at.Child("lun"), int(*s.Lun), 0, 255)
	}
}

func checkFlocker(l *check.List, at *field.Path, s *corev1.FlockerVolumeSource) {
	if s.DatasetName == "" && s.DatasetUUID == "" {
		l.Required(at, "one of datasetName and datasetUUID is required")
	}
	if s.DatasetName != "" && s.DatasetUUID != "" {
		l.Invalid(at, "resource", "datasetName and datasetUUID can not be specified simultaneously")
	}
	if strings.Contains(s.DatasetName, "/") {
		l.Invalid(at.Child("datasetName"), s.DatasetName, "must not contain '/'")
	}
}

func checkQuobyte(l *check.List, at *field.Path, s *corev1.QuobyteVolumeSource) {
	const pairs = "must be a host:port pair or multiple pairs separated by commas"
	switch {
	case s.Registry == "":
		l.Required(at.Child("registry"), pairs)
	case len(s.Tenant) > 64:
		l.Required(at.Child("tenant"), "must be a UUID and may not exceed a length of 64 characters")
	default:
		for pair := range strings.SplitSeq(s.Registry, ",") {
			if _, _, err := net.SplitHostPort(pair); err != nil {
				l.Invalid(at.Child("registry"), s.Registry, pairs)
			}
		}
	}
	l.NonEmpty(at.Child("volume"), s.Volume)
}

func checkFlex(l *check.List, at *field.Path, s *corev1.FlexVolumeSource) {
	l.NonEmpty(at.Child("driver"), s.Driver)
	for key := range s.Options {
		domain, _, _ := strings.Cut(key, "/")
		domain = "." + strings.ToLower(domain)
		if strings.HasSuffix(domain, ".kubernetes.io") || strings.HasSuffix(domain, ".k8s.io") {
			l.Invalid(at.Child("options").Key(key), key, "kubernetes.io and k8s.io namespaces are reserved")
		}
	}
}

func checkStorageOS(l *check.List, at *field.Path, s *corev1.StorageOSVolumeSource) {
	if l.NonEmpty(at.Child("volumeName"), s.VolumeName) {
		l.Label(at.Child("volumeName"), s.VolumeName)
	}
	if s.VolumeNamespace != "" {
		l.Label(at.Child("volumeNamespace"), s.VolumeNamespace)
	}
	checkSecretRef(l, at.Child("secretRef", "name"), s.SecretRef)
}

func checkAzureDisk(l *check.List, at *field.Path, s *corev1.AzureDiskVolumeSource) {
	l.NonEmpty(at.Child("diskName"), s.DiskName)
	l.NonEmpty(at.Child("diskURI"), s.DataDiskURI)
	check.KnownPtr(l, at.Child("cachingMode"), s.CachingMode, corev1.AzureDataDiskCachingNone,
		corev1.AzureDataDiskCachingReadOnly, corev1.AzureDataDiskCachingReadWrite)
	if s.Kind == nil {
		return
	}
	check.Known(l, at.Child("kind"), *s.Kind, corev1.AzureSharedBlobDisk, corev1.AzureDedicatedBlobDisk, corev1.AzureManagedDisk)
	prefix, form := "https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
	if *s.Kind == corev1.AzureManagedDisk {
		prefix = "/subscriptions/"
		form = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
	}
	if !strings.HasPrefix(s.DataDiskURI, prefix) {
		l.Add(field.NotSupported(at.Child("diskURI"), s.DataDiskURI, []string{form}))
	}
}
