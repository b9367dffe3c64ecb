package rbac

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// allows says whether one rule allows a request.
func allows(rule *rbacv1.PolicyRule, request authorizer.Attributes) bool {
	if !anyOf(rule.Verbs, rbacv1.VerbAll, request.GetVerb()) {
		return false
	}
	if !request.IsResourceRequest() {
		return slices.ContainsFunc(rule.NonResourceURLs, func(url string) bool { return coversURL(url, request.GetPath()) })
	}
	return anyOf(rule.APIGroups, rbacv1.APIGroupAll, request.GetAPIGroup()) &&
		slices.ContainsFunc(rule.Resources, func(r string) bool {
			return coversResource(r, request.GetResource(), request.GetSubresource())
		}) &&
		(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, request.GetName()))
}

func anyOf(words []string, all, word string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return w == all || w == word })
}

// coversResource knows "*", "pods", "pods/log" and "*/scale".
func coversResource(pattern, resource, subresource string) bool {
	if pattern == rbacv1.ResourceAll {
		return true
	}
	if subresource == "" {
		return pattern == resource
	}
	parent, child, ok := strings.Cut(pattern, "/")
	return ok && child == subresource && (parent == "*" || parent == resource)
}

// coversURL knows "*", "/healthz" and "/healthz/*".
func coversURL(pattern, path string) bool {
	if pattern == rbacv1.NonResourceAll || pattern == path {
		return true
	}
	return strings.HasSuffix(pattern, "*") && strings.HasPrefix(path, strings.TrimRight(pattern, "*"))
}
