package storageversionmigration_test

import (
	"testing"
	"time"

	migrationv1 "k8s.io/api/storagemigration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/admit/admittest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller/controllertest"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
	"dhow/kinds/storageversionmigration"
)

func start(t *testing.T, now func() time.Time) *apiservertest.Cluster {
	t.Helper()
	c := apiservertest.Start(t, []apiserver.Kind{storageversionmigration.Kind(), namespace.Kind(), node.Kind(node.Config{}), secret.Kind(),
		pod.Kind(pod.Config{}), serviceaccount.Kind(serviceaccount.Config{})}, nil)
	controllertest.Run(t, controllertest.On{Client: c.Client, Informers: c.Informers, Now: now}, storageversionmigration.Controller())
	return c
}

func migrate(t *testing.T, c *apiservertest.Cluster, spec string) (*migrationv1.StorageVersionMigration, error) {
	t.Helper()
	m := admittest.YAML[migrationv1.StorageVersionMigration](t, `{metadata: {generateName: m-}, spec: `+spec+`}`)
	return c.Client.StoragemigrationV1().StorageVersionMigrations().Create(t.Context(), m, metav1.CreateOptions{})
}

func await(t *testing.T, c *apiservertest.Cluster, name string, kind migrationv1.MigrationConditionType) *migrationv1.StorageVersionMigration {
	t.Helper()
	var m *migrationv1.StorageVersionMigration
	apiservertest.Eventually(t, func() bool {
		var err error
		m, err = c.Client.StoragemigrationV1().StorageVersionMigrations().Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && meta.IsStatusConditionTrue(m.Status.Conditions, string(kind))
	})
	return m
}

func TestObjectsThatNeedNoMigrationStayAsTheyAre(t *testing.T) {
	c := start(t, nil)
	before, err := c.Client.CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := migrate(t, c, `{resource: {resource: namespaces}}`)
	if err != nil {
		t.Fatal(err)
	}
	m = await(t, c, m.Name, migrationv1.MigrationSucceeded)
	if m.Status.ResourceVersion == "" || meta.IsStatusConditionTrue(m.Status.Conditions, "Running") {
		t.Errorf("%+v", m.Status)
	}
	after, err := c.Client.CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{})
	if err != nil || after.ResourceVersion != before.ResourceVersion {
		t.Errorf("%v, %v", after, err)
	}
}

func TestUnknownResourceFailsAfterAMinute(t *testing.T) {
	c := start(t, func() time.Time { return time.Now().Add(2 * time.Minute) })
	m, err := migrate(t, c, `{resource: {group: example.com, resource: things}}`)
	if err != nil {
		t.Fatal(err)
	}
	m = await(t, c, m.Name, migrationv1.MigrationFailed)
	m.Status.Conditions[0].Status = metav1.ConditionFalse
	_, err = c.Client.StoragemigrationV1().StorageVersionMigrations().UpdateStatus(t.Context(), m, metav1.UpdateOptions{})
	admittest.Check(t, err, "Failed condition cannot be set to false once it is true")
}

func TestMigrationsNameAResource(t *testing.T) {
	c := start(t, nil)
	for spec, want := range map[string]string{
		`{}`:                                    "spec.resource.resource: Required value: resource is required to be set",
		`{resource: {resource: "a b"}}`:         `a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')`,
		`{resource: {resource: a, group: "-"}}`: `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
	} {
		_, err := migrate(t, c, spec)
		admittest.Check(t, err, want)
	}
}
