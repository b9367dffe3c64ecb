package volumespec

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// CheckAmount requires an amount of any resource: not negative.
func CheckAmount(l *check.List, at *field.Path, amount resource.Quantity) {
	if amount.Value() < 0 {
		l.Invalid(at, amount.Value(), "must be a valid resource quantity")
	}
}

// checkPersistentSources requires exactly one source, and that it is right. Two names are particular: upstream
// reports what is wrong with a disk of GCE under persistentDisk, and a second source as cephFS.
func checkPersistentSources(l *check.List, at *field.Path, spec *corev1.PersistentVolumeSpec, name string) {
	found := false
	for _, s := range persistentSources(spec, name) {
		inner := at.Child(s.name)
		outer := inner
		switch s.name {
		case "gcePersistentDisk":
			inner = at.Child("persistentDisk")
		case "cephfs":
			outer = at.Child("cephFS")
		}
		switch {
		case !s.set:
		case found && s.name != "flexVolume":
			l.Forbidden(outer, "may not specify more than 1 volume type")
		default:
			found = true
			s.check(l, inner)
			if spec.Local != nil && s.name == "local" && spec.NodeAffinity == nil {
				l.Required(at.Child("nodeAffinity"), "Local volume requires node affinity")
			}
		}
	}
	if !found {
		l.Required(at, "must specify a volume type")
	}
}

// persistentSources are the kinds of source that a PersistentVolume may have; most need a driver outside Kubernetes.
func persistentSources(v *corev1.PersistentVolumeSpec, name string) []source {
	of := func(name string, set bool, check func(l *check.List, at *field.Path)) source {
		return source{name, set, check}
	}
	return []source{
		of("hostPath", v.HostPath != nil, func(l *check.List, at *field.Path) { checkHostPath(l, at, v.HostPath) }),
		of("gcePersistentDisk", v.GCEPersistentDisk != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("pdName"), v.GCEPersistentDisk.PDName)
			l.Range(at.Child("partition"), int(v.GCEPersistentDisk.Partition), 0, 255)
		}),
		of("awsElasticBlockStore", v.AWSElasticBlockStore != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("volumeID"), v.AWSElasticBlockStore.VolumeID)
			l.Range(at.Child("partition"), int(v.AWSElasticBlockStore.Partition), 0, 255)
		}),
		of("glusterfs", v.Glusterfs != nil, func(l *check.List, at *field.Path) { checkPersistentGluster(l, at, v.Glusterfs) }),
		of("flocker", v.Flocker != nil, func(l *check.List, at *field.Path) { checkFlocker(l, at, v.Flocker) }),
		of("nfs", v.NFS != nil, func(l *check.List, at *field.Path) { checkNFS(l, at, v.NFS) }),
		of("rbd", v.RBD != nil, func(l *check.List, at *field.Path) {
			nonEmptyList(l, at.Child("monitors"), v.RBD.CephMonitors)
			l.NonEmpty(at.Child("image"), v.RBD.RBDImage)
		}),
		of("quobyte", v.Quobyte != nil, func(l *check.List, at *field.Path) { checkQuobyte(l, at, v.Quobyte) }),
		of("cephfs", v.CephFS != nil, func(l *check.List, at *field.Path) { nonEmptyList(l, at.Child("monitors"), v.CephFS.Monitors) }),
		of("iscsi", v.ISCSI != nil, func(l *check.List, at *field.Path) { checkPersistentISCSI(l, at, name, v.ISCSI) }),
		of("cinder", v.Cinder != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("volumeID"), v.Cinder.VolumeID)
			if ref := v.Cinder.SecretRef; ref != nil {
				checkNamed(l, at.Child("secretRef"), ref.Name, ref.Namespace)
			}
		}),
		of("fc", v.FC != nil, func(l *check.List, at *field.Path) { checkFC(l, at, v.FC) }),
		of("flexVolume", v.FlexVolume != nil, func(l *check.List, at *field.Path) {
			checkFlex(l, at, &corev1.FlexVolumeSource{Driver: v.FlexVolume.Driver, Options: v.FlexVolume.Options})
		}),
		of("azureFile", v.AzureFile != nil, func(l *check.List, at *field.Path) { checkPersistentAzureFile(l, at, v.AzureFile) }),
		of("vsphereVolume", v.VsphereVolume != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("volumePath"), v.VsphereVolume.VolumePath)
		}),
		of("photonPersistentDisk", v.PhotonPersistentDisk != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("pdID"), v.PhotonPersistentDisk.PdID)
		}),
		of("portworxVolume", v.PortworxVolume != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("volumeID"), v.PortworxVolume.VolumeID)
		}),
		of("azureDisk", v.AzureDisk != nil, func(l *check.List, at *field.Path) { checkAzureDisk(l, at, v.AzureDisk) }),
		of("scaleIO", v.ScaleIO != nil, func(l *check.List, at *field.Path) {
			l.NonEmpty(at.Child("gateway"), v.ScaleIO.Gateway)
			l.NonEmpty(at.Child("system"), v.ScaleIO.System)
			l.NonEmpty(at.Child("volumeName"), v.ScaleIO.VolumeName)
		}),
		of("local", v.Local != nil, func(l *check.List, at *field.Path) {
			if l.NonEmpty(at.Child("path"), v.Local.Path) {
				l.NoBacksteps(at.Child("path"), v.Local.Path)
			}
		}),
		of("storageos", v.StorageOS != nil, func(l *check.List, at *field.Path) { checkPersistentStorageOS(l, at, v.StorageOS) }),
		of("csi", v.CSI != nil, func(l *check.List, at *field.Path) { checkPersistentCSI(l, at, v.CSI) }),
	}
}

func checkPersistentGluster(l *check.List, at *field.Path, s *corev1.GlusterfsPersistentVolumeSource) {
	l.NonEmpty(at.Child("endpoints"), s.EndpointsName)
	l.NonEmpty(at.Child("path"), s.Path)
	switch namespace := s.EndpointsNamespace; {
	case namespace == nil:
	case *namespace == "":
		l.Invalid(at.Child("endpointsNamespace"), *namespace, "if the endpointnamespace is set, it must be a valid namespace name")
	default:
		l.Label(at.Child("endpointsNamespace"), *namespace)
	}
}

func checkPersistentISCSI(l *check.List, at *field.Path, volume string, s *corev1.ISCSIPersistentVolumeSource) {
	l.NonEmpty(at.Child("targetPortal"), s.TargetPortal)
	if s.InitiatorName != nil && len(volume+":"+s.TargetPortal) > 64 {
		l.Invalid(at.Child("targetportal"), s.TargetPortal, "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.")
	}
	if l.NonEmpty(at.Child("iqn"), s.IQN) {
		checkISCSIForm(l, at.Child("iqn"), s.IQN)
	}
	l.Range(at.Child("lun"), int(s.Lun), 0, 255)
	if (s.DiscoveryCHAPAuth || s.SessionCHAPAuth) && s.SecretRef == nil {
		l.Required(at.Child("secretRef"), "")
	}
	if s.SecretRef != nil {
		l.NonEmpty(at.Child("secretRef", "name"), s.SecretRef.Name)
	}
	if s.InitiatorName != nil {
		checkISCSIForm(l, at.Child("initiatorname"), *s.InitiatorName)
	}
}

// checkISCSIForm is checkISCSIName with the one message that PersistentVolumes have for all that is wrong.
func checkISCSIForm(l *check.List, at *field.Path, name string) {
	pattern, known := iscsiName[name[:min(3, len(name))]]
	if !known || !pattern.MatchString(name) {
		l.Invalid(at, name, "must be valid format")
	}
}

func checkPersistentAzureFile(l *check.List, at *field.Path, s *corev1.AzureFilePersistentVolumeSource) {
	l.NonEmpty(at.Child("secretName"), s.SecretName)
	l.NonEmpty(at.Child("shareName"), s.ShareName)
	if s.SecretNamespace != nil {
		l.NonEmpty(at.Child("secretNamespace"), *s.SecretNamespace)
	}
}

func checkPersistentStorageOS(l *check.List, at *field.Path, s *corev1.StorageOSPersistentVolumeSource) {
	checkStorageOS(l, at, &corev1.StorageOSVolumeSource{VolumeName: s.VolumeName, VolumeNamespace: s.VolumeNamespace})
	if s.SecretRef != nil {
		checkNamed(l, at.Child("secretRef"), s.SecretRef.Name, s.SecretRef.Namespace)
	}
}

func checkNamed(l *check.List, at *field.Path, name, namespace string) {
	l.NonEmpty(at.Child("name"), name)
	l.NonEmpty(at.Child("namespace"), namespace)
}

func checkPersistentCSI(l *check.List, at *field.Path, s *corev1.CSIPersistentVolumeSource) {
	CheckDriverName(l, at.Child("driver"), s.Driver)
	l.NonEmpty(at.Child("volumeHandle"), s.VolumeHandle)
	for _, secret := range []struct {
		name string
		ref  *corev1.SecretReference
	}{
		{"controllerPublishSecretRef", s.ControllerPublishSecretRef},
		{"controllerExpandSecretRef", s.ControllerExpandSecretRef},
		{"nodePublishSecretRef", s.NodePublishSecretRef},
		{"nodeExpandSecretRef", s.NodeExpandSecretRef},
	} {
		if secret.ref != nil {
			checkSecret(l, at.Child(secret.name), secret.ref)
		}
	}
}

func checkSecret(l *check.List, at *field.Path, ref *corev1.SecretReference) {
	if l.NonEmpty(at.Child("name"), ref.Name) {
		l.Subdomain(at.Child("name"), ref.Name)
	}
	if l.NonEmpty(at.Child("namespace"), ref.Namespace) {
		l.Label(at.Child("namespace"), ref.Namespace)
	}
}
