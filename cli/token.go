//go:build !nocluster

package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	bootstraputil "k8s.io/cluster-bootstrap/token/util"
	bootstrapsecrets "k8s.io/cluster-bootstrap/util/secrets"
)

// tokenFlags are those of dhow token create, under kubeadm's names.
type tokenFlags struct {
	kubeconfig     string
	ttl            time.Duration
	description    string
	usages, groups []string
}

func newTokenCommand(env *environment) *cobra.Command {
	f := &tokenFlags{}
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and delete the tokens by which machines join",
		Long: `Make, list and delete bootstrap tokens: secrets of kube-system by which a machine may come in for the first time, as
user system:bootstrap:<id> in group system:bootstrappers.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig of an administrator (default: the admin kubeconfig under --root)")
	create := &cobra.Command{
		Use: "create [token]", Short: "Make a token and print it", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.create(cmd, env, args) },
	}
	create.Flags().DurationVar(&f.ttl, "ttl", 24*time.Hour, "how long it is good; 0 for ever")
	create.Flags().StringVar(&f.description, "description", "", "what it is for")
	create.Flags().StringSliceVar(&f.usages, "usages", []string{"signing", "authentication"}, "what it may be used for")
	create.Flags().StringSliceVar(&f.groups, "groups", []string{"system:bootstrappers:kubeadm:default-node-token"}, "further groups of who shows it")
	cmd.AddCommand(create,
		&cobra.Command{Use: "list", Short: "List the tokens", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return f.list(cmd, env) }},
		&cobra.Command{Use: "delete TOKEN…", Short: "Delete tokens, by their text or their id", Args: cobra.MinimumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error { return f.delete(cmd, env, args) }},
		&cobra.Command{Use: "generate", Short: "Print a token that no cluster knows yet", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				text, err := bootstraputil.GenerateBootstrapToken()
				if err == nil {
					fmt.Fprintln(env.Stdout, text)
				}
				return err
			}})
	return cmd
}

func (f *tokenFlags) secrets(env *environment) (corev1client.SecretInterface, error) {
	path := f.kubeconfig
	if path == "" {
		path = env.kubeconfig()
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("%w (has 'dhow server' run here? else give --kubeconfig)", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return client.CoreV1().Secrets(metav1.NamespaceSystem), nil
}

func (f *tokenFlags) create(cmd *cobra.Command, env *environment, args []string) error {
	text, err := bootstraputil.GenerateBootstrapToken()
	if err != nil {
		return err
	}
	if len(args) > 0 {
		text = args[0]
	}
	secret, err := f.secret(text)
	if err != nil {
		return usageError{err}
	}
	secrets, err := f.secrets(env)
	if err != nil {
		return err
	}
	_, err = secrets.Create(cmd.Context(), secret, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("a token with id %q already exists", strings.SplitN(text, ".", 2)[0])
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(env.Stdout, text)
	return nil
}

// secret is a token as the cluster keeps it.
func (f *tokenFlags) secret(text string) (*corev1.Secret, error) {
	id, key, ok := strings.Cut(text, ".")
	if !ok || !bootstraputil.IsValidBootstrapToken(text) {
		return nil, fmt.Errorf("%q is no token: %s", text, bootstrapapi.BootstrapTokenPattern)
	}
	if f.ttl < 0 {
		return nil, fmt.Errorf("--ttl %s: must not be negative", f.ttl)
	}
	data := map[string]string{bootstrapapi.BootstrapTokenIDKey: id, bootstrapapi.BootstrapTokenSecretKey: key}
	if f.description != "" {
		data[bootstrapapi.BootstrapTokenDescriptionKey] = f.description
	}
	if f.ttl > 0 {
		data[bootstrapapi.BootstrapTokenExpirationKey] = time.Now().Add(f.ttl).UTC().Format(time.RFC3339)
	}
	if err := bootstraputil.ValidateUsages(f.usages); err != nil {
		return nil, fmt.Errorf("--usages: %w", err)
	}
	for _, usage := range f.usages {
		data[bootstrapapi.BootstrapTokenUsagePrefix+usage] = "true"
	}
	for _, group := range f.groups {
		if err := bootstraputil.ValidateBootstrapGroupName(group); err != nil {
			return nil, fmt.Errorf("--groups: %w", err)
		}
	}
	if len(f.groups) > 0 {
		data[bootstrapapi.BootstrapTokenExtraGroupsKey] = strings.Join(f.groups, ",")
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: bootstraputil.BootstrapTokenSecretName(id)},
		Type:       bootstrapapi.SecretTypeBootstrapToken, StringData: data,
	}, nil
}

func (f *tokenFlags) list(cmd *cobra.Command, env *environment) error {
	secrets, err := f.secrets(env)
	if err != nil {
		return err
	}
	all, err := secrets.List(cmd.Context(), metav1.ListOptions{FieldSelector: "type=" + string(bootstrapapi.SecretTypeBootstrapToken)})
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(env.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "TOKEN\tTTL\tEXPIRES\tUSAGES\tDESCRIPTION\tEXTRA GROUPS")
	for i := range all.Items {
		fmt.Fprintln(w, strings.Join(tokenRow(&all.Items[i], time.Now()), "\t"))
	}
	return w.Flush()
}

// tokenRow is a token as a line of a list.
func tokenRow(s *corev1.Secret, now time.Time) []string {
	or := func(text, empty string) string {
		if text == "" {
			return empty
		}
		return text
	}
	have := func(key string) string { return bootstrapsecrets.GetData(s, key) }
	ttl, expires := "<forever>", "<never>"
	if at := have(bootstrapapi.BootstrapTokenExpirationKey); at != "" {
		left, over := bootstrapsecrets.GetExpiration(s, now)
		ttl, expires = duration.ShortHumanDuration(left), at
		if over {
			ttl = "<invalid>"
		}
	}
	var usages []string
	for key, value := range s.Data {
		if usage, ok := strings.CutPrefix(key, bootstrapapi.BootstrapTokenUsagePrefix); ok && string(value) == "true" {
			usages = append(usages, usage)
		}
	}
	slices.Sort(usages)
	return []string{
		have(bootstrapapi.BootstrapTokenIDKey) + "." + have(bootstrapapi.BootstrapTokenSecretKey), ttl, expires,
		or(strings.Join(usages, ","), "<none>"), or(have(bootstrapapi.BootstrapTokenDescriptionKey), "<none>"),
		or(have(bootstrapapi.BootstrapTokenExtraGroupsKey), "<none>"),
	}
}

func (f *tokenFlags) delete(cmd *cobra.Command, env *environment, args []string) error {
	secrets, err := f.secrets(env)
	if err != nil {
		return err
	}
	var failed []error
	for _, arg := range args {
		id, _, _ := strings.Cut(arg, ".")
		if !bootstraputil.IsValidBootstrapTokenID(id) {
			failed = append(failed, usageError{fmt.Errorf("%q is neither a token nor a token's id: %s", arg, bootstrapapi.BootstrapTokenIDPattern)})
			continue
		}
		if err := secrets.Delete(cmd.Context(), bootstraputil.BootstrapTokenSecretName(id), metav1.DeleteOptions{}); err != nil {
			failed = append(failed, fmt.Errorf("delete token %q: %w", id, err))
			continue
		}
		fmt.Fprintf(env.Stdout, "bootstrap token %q deleted\n", id)
	}
	return errors.Join(failed...)
}
