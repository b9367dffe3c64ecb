package apiserver_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
)

// fairKinds are bare ones, and those by which a server is shared out.
func fairKinds() []apiserver.Kind {
	return append(bare(),
		apiserver.Define[*flowcontrolv1.FlowSchema, *flowcontrolv1.FlowSchemaList](flowcontrolv1.SchemeGroupVersion,
			apiserver.Names{Kind: "FlowSchema", Resource: "flowschemas", Cluster: true}, apiserver.Rules[*flowcontrolv1.FlowSchema]{HasStatus: true}),
		apiserver.Define[*flowcontrolv1.PriorityLevelConfiguration, *flowcontrolv1.PriorityLevelConfigurationList](flowcontrolv1.SchemeGroupVersion,
			apiserver.Names{Kind: "PriorityLevelConfiguration", Resource: "prioritylevelconfigurations", Cluster: true},
			apiserver.Rules[*flowcontrolv1.PriorityLevelConfiguration]{HasStatus: true}),
	)
}

// allowAll lets every user do everything.
func allowAll(informers.SharedInformerFactory) (authorizer.Authorizer, error) {
	return authorizerfactory.NewAlwaysAllowAuthorizer(), nil
}

// gate is admission that holds the creation of ConfigMaps with a name that starts with "held" until it is opened.
type gate struct {
	open    chan struct{}
	held    chan string
	patient bool // it holds them even when their time is over
}

func newGate() *gate { return &gate{open: make(chan struct{}), held: make(chan string, 1000)} }

func (g *gate) plugins(kubernetes.Interface, informers.SharedInformerFactory) ([]admission.Interface, error) {
	return []admission.Interface{g}, nil
}

func (g *gate) Handles(o admission.Operation) bool { return o == admission.Create }

func (g *gate) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetResource().Resource != "configmaps" || !strings.HasPrefix(a.GetName(), "held") {
		return nil
	}
	g.held <- a.GetName()
	if g.patient {
		<-g.open
		return nil
	}
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func createBootstrapObjects(t *testing.T, c *apiservertest.Cluster) {
	t.Helper()
	levels, schemas := c.Client.FlowcontrolV1().PriorityLevelConfigurations(), c.Client.FlowcontrolV1().FlowSchemas()
	for _, l := range append(bootstrap.MandatoryPriorityLevelConfigurations, bootstrap.SuggestedPriorityLevelConfigurations...) {
		if _, err := levels.Create(c.Context, l.DeepCopy(), metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	for _, f := range append(bootstrap.MandatoryFlowSchemas, bootstrap.SuggestedFlowSchemas...) {
		if _, err := schemas.Create(c.Context, f.DeepCopy(), metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
}

// levelOf is the priority level that answered a user's request.
func levelOf(t *testing.T, c *apiservertest.Cluster, user string, groups ...string) string {
	t.Helper()
	client, err := restclient.HTTPClientFor(c.Server.ClientConfig(user, groups...))
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Get("http://in-process/api/v1/namespaces/default/configmaps")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	uid := response.Header.Get(flowcontrolv1.ResponseHeaderMatchedPriorityLevelConfigurationUID)
	levels, err := c.Client.FlowcontrolV1().PriorityLevelConfigurations().List(c.Context, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range levels.Items {
		if string(l.UID) == uid {
			return l.Name
		}
	}
	return "none (uid " + uid + ")"
}

func TestOwnPartsHaveThePriorityOfTheControllerManager(t *testing.T) {
	c := apiservertest.Start(t, fairKinds(), func(config *apiserver.Config) { config.Authorizer = allowAll })
	createBootstrapObjects(t, c)
	everybody := "system:authenticated"
	for _, test := range []struct {
		user   string
		groups []string
		level  string
	}{
		{"system:controller:deployment", []string{everybody}, "workload-high"},
		{"system:kube-proxy", []string{everybody}, "workload-high"},
		{"system:kube-scheduler", []string{everybody}, "workload-high"},
		{"system:node:a", []string{everybody, "system:nodes"}, "system"},
		{"jane", []string{everybody}, "global-default"},
		{"system:serviceaccount:default:a", []string{everybody, "system:serviceaccounts"}, "workload-low"},
		{"system:admin", []string{"system:masters"}, "exempt"},
	} {
		apiservertest.Eventually(t, func() bool { return levelOf(t, c, test.user, test.groups...) == test.level })
	}
}

func TestAClientThatFloodsTheServerHoldsUpNobodyElse(t *testing.T) {
	g := newGate()
	c := apiservertest.Start(t, fairKinds(), func(config *apiserver.Config) {
		config.Authorizer, config.Admission = allowAll, g.plugins
		config.Limits = apiserver.DefaultLimits()
		config.Limits.MaxRequestsInFlight, config.Limits.MaxMutatingRequestsInFlight = 10, 10
	})
	defer close(g.open)
	createBootstrapObjects(t, c)
	apiservertest.Eventually(t, func() bool { return levelOf(t, c, "jane", "system:authenticated") == "global-default" })
	flooder, err := c.Server.Client("jane", "system:authenticated")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(c.Context)
	refused := make(chan error, 1000)
	var flood sync.WaitGroup
	defer flood.Wait()
	defer stop()
	for i := range 400 {
		flood.Go(func() {
			_, err := flooder.CoreV1().RESTClient().Post().Namespace("default").Resource("configmaps").
				Body(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "held-" + string(rune('a'+i%26))}}).MaxRetries(0).Do(ctx).Get()
			if apierrors.IsTooManyRequests(err) {
				refused <- err
			}
		})
	}
	<-g.held
	<-refused // its queues are full
	for _, user := range []string{"system:controller:deployment", "system:kube-scheduler"} {
		client, err := c.Server.Client(user, "system:authenticated")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.CoreV1().ConfigMaps("default").Create(c.Context, configMap(strings.ReplaceAll(user, ":", "-")), metav1.CreateOptions{}); err != nil {
			t.Errorf("%s during the flood: %v", user, err)
		}
	}
	if _, err := c.Client.CoreV1().ConfigMaps("default").List(c.Context, metav1.ListOptions{}); err != nil {
		t.Errorf("an administrator during the flood: %v", err)
	}
}

func TestWithoutFairnessTheNumberOfRequestsIsBounded(t *testing.T) {
	g := newGate()
	c := apiservertest.Start(t, bare(), func(config *apiserver.Config) {
		config.Authorizer, config.Admission = allowAll, g.plugins
		config.Limits = apiserver.DefaultLimits()
		config.Limits.MaxMutatingRequestsInFlight = 1
	})
	someone, err := c.Server.Client("jane")
	if err != nil {
		t.Fatal(err)
	}
	create := func(name string) error {
		return someone.CoreV1().RESTClient().Post().Namespace("default").Resource("configmaps").Body(configMap(name)).MaxRetries(0).Do(c.Context).Error()
	}
	first := make(chan error)
	go func() {
		err := create("held")
		for apierrors.IsTooManyRequests(err) { // the server itself may be writing, in its first moments
			err = create("held")
		}
		first <- err
	}()
	<-g.held
	if err := create("second"); !apierrors.IsTooManyRequests(err) {
		t.Errorf("a second write at once: %v", err)
	}
	if _, err := someone.CoreV1().ConfigMaps("default").List(c.Context, metav1.ListOptions{}); err != nil {
		t.Errorf("a read meanwhile: %v", err)
	}
	close(g.open)
	if err := <-first; err != nil {
		t.Error(err)
	}
	apiservertest.Eventually(t, func() bool {
		err := create("third")
		if err != nil && !apierrors.IsTooManyRequests(err) {
			t.Fatalf("once there is room again: %v", err)
		}
		return err == nil
	})
}
