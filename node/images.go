package node

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/image"
)

// imageRef is how a container's status names its image: by the digest it was pulled by, else by its id.
func (w *worker) imageRef(ctx context.Context, id string) string {
	if ref, known := w.refs[id]; known {
		return ref
	}
	status, err := w.node.config.Images.ImageStatus(ctx, id)
	if err != nil || status == nil {
		return id
	}
	w.refs[id] = cmp.Or(first(status.RepoDigests), status.Id)
	return w.refs[id]
}

// Reasons of an image that is missing.
const (
	reasonImagePull      = "ErrImagePull"
	reasonImageBackOff   = "ImagePullBackOff"
	reasonImageNever     = "ErrImageNeverPull"
	reasonImageName      = "InvalidImageName"
	reasonImageInspect   = "ImageInspectError"
	pullPolicyNeverWords = "Container image %q is not present with pull policy of Never"
)

// image sees to it that a container's image is here, by its pull policy.
func (s *starter) image(ctx context.Context, c *corev1.Container) (found *cri.Image, why string, err error) {
	n := s.node
	status, err := n.config.Images.ImageStatus(ctx, c.Image)
	if errors.Is(err, image.ErrInvalidName) {
		n.events.pod(s.pod, c.Name, corev1.EventTypeWarning, "InspectFailed", "Failed to apply default image tag %q: %v", c.Image, err)
		return found, reasonImageName, fmt.Errorf("Failed to apply default image tag %q: %w", c.Image, err)
	}
	if err != nil {
		n.events.pod(s.pod, c.Name, corev1.EventTypeWarning, "InspectFailed", "Failed to inspect image %q: %v", c.Image, err)
		return found, reasonImageInspect, fmt.Errorf("Failed to inspect image %q: %w", c.Image, err)
	}
	if status != nil && (c.ImagePullPolicy != corev1.PullAlways || s.fresh[c.Image]) {
		if !s.fresh[c.Image] {
			n.events.pod(s.pod, c.Name, corev1.EventTypeNormal, "Pulled", "Container image %q already present on machine and can be accessed by the pod", c.Image)
		}
		return status, "", nil
	}
	if c.ImagePullPolicy == corev1.PullNever {
		err := fmt.Errorf(pullPolicyNeverWords, c.Image)
		n.events.pod(s.pod, c.Name, corev1.EventTypeWarning, reasonImageNever, "%v", err)
		return found, reasonImageNever, err
	}
	return s.pull(ctx, c)
}

// showFailure is how long a failed pull is told as such, before it is told that the next one waits.
const showFailure = 5 * time.Second

// pull fetches an image, unless it has to wait for the back-off of an earlier failure.
func (s *starter) pull(ctx context.Context, c *corev1.Container) (found *cri.Image, why string, err error) {
	n, b := s.node, backOffOf(s.pulls, c.Image)
	if left := b.left(b.last, time.Now()); left > 0 {
		if left > b.delay-showFailure && s.lastPull[c.Image] != nil {
			s.later(left - (b.delay - showFailure))
			return found, reasonImagePull, s.lastPull[c.Image]
		}
		s.later(left)
		n.events.pod(s.pod, c.Name, corev1.EventTypeNormal, "BackOff", "Back-off pulling image %q", c.Image)
		message := fmt.Errorf("Back-off pulling image %q", c.Image)
		if s.lastPull[c.Image] != nil {
			message = fmt.Errorf("%w: %s: %w", message, reasonImagePull, s.lastPull[c.Image])
		}
		return found, reasonImageBackOff, message
	}
	begin := time.Now()
	n.events.pod(s.pod, c.Name, corev1.EventTypeNormal, "Pulling", "Pulling image %q", c.Image)
	if err := s.report(ctx, s.pod, s.observed); err != nil && ctx.Err() != nil {
		return found, reasonImagePull, err
	}
	auth := n.credentials(s.pod, c.Image)
	id, err := n.config.Images.PullImage(ctx, c.Image, auth, nil)
	if err == nil {
		found, err = n.config.Images.ImageStatus(ctx, id)
	}
	if err == nil && found == nil {
		err = fmt.Errorf("image %s was removed while it was pulled", c.Image)
	}
	if err != nil {
		if ctx.Err() == nil {
			b.tried(time.Now())
			s.lastPull[c.Image] = err
			s.later(b.delay)
			n.events.pod(s.pod, c.Name, corev1.EventTypeWarning, "Failed", "Failed to pull image %q: %v", c.Image, err)
			n.events.pod(s.pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: %s", reasonImagePull)
		}
		return found, reasonImagePull, err
	}
	delete(s.pulls, c.Image)
	delete(s.lastPull, c.Image)
	s.fresh[c.Image] = true
	took := time.Since(begin).Round(time.Millisecond)
	n.events.pod(s.pod, c.Name, corev1.EventTypeNormal, "Pulled", "Successfully pulled image %q in %v (%v including waiting). Image size: %d bytes.",
		c.Image, took, took, found.Size)
	return found, "", nil
}

// dockerConfig is the part of a ~/.docker/config.json that names credentials.
type dockerConfig struct {
	Auths map[string]dockerAuth `json:"auths"`
}

type dockerAuth struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"` // base64 of username:password
	IdentityToken string `json:"identitytoken"`
}

// credentials for an image from the pod's imagePullSecrets; nil when none fits. The longest matching entry wins.
func (n *Node) credentials(pod *corev1.Pod, image string) *cri.AuthConfig {
	best, length := (*cri.AuthConfig)(nil), -1
	for _, ref := range pod.Spec.ImagePullSecrets {
		secret, err := n.secrets.Secrets(pod.Namespace).Get(ref.Name)
		if err != nil {
			n.events.pod(pod, "", corev1.EventTypeWarning, "FailedToRetrieveImagePullSecret",
				"Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", ref.Name)
			continue
		}
		for entry, auth := range dockerAuths(secret) {
			if host := registryOf(entry); len(host) > length && coversImage(host, image) {
				best, length = auth.config(), len(host)
			}
		}
	}
	return best
}

func dockerAuths(secret *corev1.Secret) map[string]dockerAuth {
	var config dockerConfig
	if data, ok := secret.Data[corev1.DockerConfigJsonKey]; ok {
		_ = json.Unmarshal(data, &config) // the API server has checked it
		return config.Auths
	}
	_ = json.Unmarshal(secret.Data[corev1.DockerConfigKey], &config.Auths)
	return config.Auths
}

func registryOf(entry string) string {
	entry = strings.TrimPrefix(strings.TrimPrefix(entry, "https://"), "http://")
	return strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(entry, "/"), "/v1"), "/v2")
}

// coversImage: "host", "host/path" and "*.host" cover images below them.
func coversImage(entry, image string) bool {
	host, below, _ := strings.Cut(entry, "/")
	first, rest, ok := strings.Cut(image, "/")
	if !ok || !strings.ContainsAny(first, ".:") && first != "localhost" {
		first, rest = "docker.io", image
		if host == "index.docker.io" {
			host = first
		}
	}
	matched, err := path.Match(host, first)
	return err == nil && matched && (below == "" || rest == below || strings.HasPrefix(rest, below+"/"))
}

func (a dockerAuth) config() *cri.AuthConfig {
	c := &cri.AuthConfig{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken}
	if raw, err := base64.StdEncoding.DecodeString(a.Auth); err == nil {
		user, password, _ := strings.Cut(string(raw), ":")
		c.Username, c.Password = cmp.Or(c.Username, user), cmp.Or(c.Password, password)
	}
	return c
}
