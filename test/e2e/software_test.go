package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"dhow/internal/imagebuild"
)

const application = `
apiVersion: v1
kind: ConfigMap
metadata: {name: nginx}
data:
  nginx.conf: |
    daemon off; error_log stderr; pid /tmp/nginx.pid;
    events {}
    http {
      access_log /dev/stdout;
      client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
      server { listen 8080; location / { add_header X-Pod $hostname; return 200 "welcome\n"; } }
    }
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: nginx}
spec:
  replicas: 3
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec:
      containers:
        - name: nginx
          image: REGISTRY/nginx:1
          command: [/usr/sbin/nginx, -c, /etc/app/nginx.conf]
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {port: http}, periodSeconds: 1}
          lifecycle: {preStop: {sleep: {seconds: 5}}}
          volumeMounts: [{name: config, mountPath: /etc/app}]
      volumes: [{name: config, configMap: {name: nginx}}]
---
apiVersion: v1
kind: Service
metadata: {name: nginx}
spec:
  type: NodePort
  selector: {app: nginx}
  ports: [{port: 80, targetPort: http, nodePort: 30090}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: redis}
spec:
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec:
      containers:
        - name: redis
          image: REGISTRY/redis:1
          command: [/usr/bin/redis-server, --dir, /data, --protected-mode, "no"]
          readinessProbe: {exec: {command: [/usr/bin/redis-cli, ping]}, periodSeconds: 1}
          volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, emptyDir: {}}]
---
apiVersion: v1
kind: Service
metadata: {name: redis}
spec: {selector: {app: redis}, ports: [{port: 6379}]}
`

// pushDebian makes an image of Debian's packages and pushes it.
func pushDebian(t *testing.T, registry, name, program string, more ...imagebuild.File) {
	t.Helper()
	_, files := debianFiles(t, name, program)
	files = append(files, imagebuild.File{Path: "/tmp", Mode: 0o1777}, imagebuild.File{Path: "/data"},
		imagebuild.File{Path: "/etc/passwd", Data: []byte("root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")},
		imagebuild.File{Path: "/etc/group", Data: []byte("root:x:0:\nnogroup:x:65534:\n")})
	image, err := imagebuild.Image(v1.Config{}, append(files, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := imagebuild.Push(context.Background(), image, registry+"/"+name+":1"); err != nil {
		t.Fatal(err)
	}
}

// traffic asks without a pause until it is stopped, and counts what was not answered.
type traffic struct {
	stop            context.CancelFunc
	done            chan struct{}
	answered, fails atomic.Int64
	firstFail       atomic.Value
}

func startTraffic(url string) *traffic {
	ctx, stop := context.WithCancel(context.Background())
	tr := &traffic{stop: stop, done: make(chan struct{})}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	go func() {
		defer close(tr.done)
		for ctx.Err() == nil {
			if err := get(client, url); err != nil {
				tr.fails.Add(1)
				tr.firstFail.CompareAndSwap(nil, err.Error())
				continue
			}
			tr.answered.Add(1)
		}
	}()
	return tr
}

func get(client *http.Client, url string) error {
	r, err := client.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", r.Status)
	}
	return nil
}

// end stops the traffic; none may have failed.
func (tr *traffic) end(t *testing.T, during string) {
	t.Helper()
	tr.stop()
	<-tr.done
	if tr.answered.Load() == 0 || tr.fails.Load() > 0 {
		t.Errorf("during %s: %d requests answered, %d failed, the first with %v", during, tr.answered.Load(), tr.fails.Load(), tr.firstFail.Load())
	}
}

// redisSays waits until redis, or the way to it, is there and gives an answer.
func (n *node) redisSays(want string, args ...string) {
	n.t.Helper()
	n.eventually("redis to answer", time.Minute, func() error {
		out, err := n.dhow(append([]string{"kubectl", "exec", "deploy/redis", "--", "/usr/bin/redis-cli"}, args...)...)
		if err == nil && !strings.Contains(out, want) {
			err = errorf("no %q", want)
		}
		if err != nil {
			return errorf("%v:\n%s", err, out)
		}
		return nil
	})
}

// Nginx and redis, which nobody here wrote, from Debian's packages through Debian's docker-registry.
func TestRealSoftwareRunsAndOutlivesTheDaemon(t *testing.T) {
	tree, _ := debianFiles(t, "docker-registry")
	registry := startDebianRegistry(t, filepath.Join(tree, "usr/bin/docker-registry"))
	pushDebian(t, registry, "nginx", "usr/sbin/nginx", imagebuild.File{Path: "/var/log/nginx"}, imagebuild.File{Path: "/var/lib/nginx"})
	pushDebian(t, registry, "redis", "usr/bin/redis-server")
	n := startNode(t)
	n.mustApply(strings.ReplaceAll(application, "REGISTRY", registry))
	n.kubectl("rollout", "status", "deployment/nginx", "--timeout=120s")
	n.kubectl("rollout", "status", "deployment/redis", "--timeout=120s")

	const url = "http://127.0.0.1:30090/"
	n.redisSays("OK", "-h", "redis.default.svc.cluster.local", "set", "key", "kept")
	n.eventually("nginx to be reached from outside", time.Minute, func() error { return get(http.DefaultClient, url) })

	tr := startTraffic(url)
	n.kubectl("rollout", "restart", "deployment/nginx")
	n.kubectl("rollout", "status", "deployment/nginx", "--timeout=120s")
	tr.end(t, "a rolling restart")
	wantAll(t, n.kubectl("logs", "deployment/nginx"), "GET / HTTP/1.1")

	n.eventually("the old pods are gone", time.Minute, func() error {
		if ending := n.kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.deletionTimestamp}"); ending != "" {
			return fmt.Errorf("some are ending since %s", ending)
		}
		return nil
	})
	pods := n.kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}")
	tr = startTraffic(url)
	n.kill()
	n.start()
	n.waitReady()
	n.redisSays("kept", "get", "key")
	tr.end(t, "the daemon's death")
	if now := n.kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}"); now != pods {
		t.Errorf("other pods run after the daemon's death: %s, were %s", now, pods)
	}
	restarts := n.kubectl("get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}")
	if strings.Trim(restarts, "0 ") != "" {
		t.Errorf("containers were started again after the daemon's death: %s", restarts)
	}
}
