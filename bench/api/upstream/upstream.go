// Package upstream fixes the version of the kube-apiserver that dhow is measured beside.
package upstream

import _ "k8s.io/kubernetes/cmd/kube-apiserver/app" // built by bench/api/run
