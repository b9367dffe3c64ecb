// Package apiserver serves the Kubernetes API over HTTPS and to the program's own parts: storage, discovery,
// authentication, authorization, admission and the REST verbs, on k8s.io/apiserver. It knows kinds only as
// data (Kind); what is particular to one lives in kinds/.
package apiserver
