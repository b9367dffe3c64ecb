// Package nodes is the authorizer of node agents, the users system:node:<name>: a node may read what its own pods need,
// and change what is its own. What an object to be written says is not looked at here; NodeRestriction does that.
package nodes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
)

// Authorizer allows nodes what is theirs. It never denies: what it does not allow is somebody else's to allow.
type Authorizer struct {
	relations *relations
	uniform   func(authorizer.Attributes) bool
}

var (
	_ authorizer.Authorizer   = &Authorizer{}
	_ authorizer.RuleResolver = &Authorizer{}
)

// New makes an Authorizer that looks relations up in informers, to which it adds an index. uniform says what all nodes
// may do alike; it is not asked about kinds of which nodes may only touch their own.
func New(f informers.SharedInformerFactory, uniform func(authorizer.Attributes) bool) (*Authorizer, error) {
	r, err := newRelations(f)
	if err != nil {
		return nil, err
	}
	return &Authorizer{r, uniform}, nil
}

// nameOf is the node that a user is: its name says so, and a certificate authority has put it among nodes.
func nameOf(u user.Info) (name string, isNode bool) {
	if u == nil {
		return "", false
	}
	name, ok := strings.CutPrefix(u.GetName(), "system:node:")
	return name, ok && slices.Contains(u.GetGroups(), user.NodesGroup)
}

// Authorize implements authorizer.Authorizer. The reasons are upstream's.
func (a *Authorizer) Authorize(_ context.Context, request authorizer.Attributes) (authorizer.Decision, string, error) {
	node, ok := nameOf(request.GetUser())
	if !ok {
		return authorizer.DecisionNoOpinion, "", nil
	}
	if node == "" {
		return authorizer.DecisionNoOpinion, fmt.Sprintf("unknown node for user %q", request.GetUser().GetName()), nil
	}
	if request.IsResourceRequest() {
		kind := schema.GroupResource{Group: request.GetAPIGroup(), Resource: request.GetResource()}.String()
		if own, found := a.relations.rules()[kind]; found {
			return decision(own(node, request))
		}
	}
	return decision(a.uniform(request), "")
}

func decision(allowed bool, reason string) (authorizer.Decision, string, error) {
	if allowed {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, reason, nil
}

// ConditionsAwareAuthorize implements authorizer.Authorizer; there are no conditions.
func (a *Authorizer) ConditionsAwareAuthorize(ctx context.Context, request authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(a.Authorize(ctx, request))
}

// EvaluateConditions implements authorizer.Authorizer.
func (a *Authorizer) EvaluateConditions(context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}

// RulesFor implements authorizer.RuleResolver: what a node may do depends on its pods and cannot be listed.
func (a *Authorizer) RulesFor(_ context.Context, u user.Info, _ string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	if _, ok := nameOf(u); ok {
		return nil, nil, true, errors.New("node authorizer does not support user rule resolution")
	}
	return nil, nil, false, nil
}

// rule says whether a node may do something to a kind of which it may only touch its own, or why not.
type rule func(node string, request authorizer.Attributes) (allowed bool, reason string)

// related is what a rule asks about one object.
type related func(node, namespace, name string) bool

const none = "no relationship found between node '%s' and this object"

func (r related) allows(node string, request authorizer.Attributes) (bool, string) {
	switch {
	case request.GetName() == "":
		return false, "No Object name found"
	case r(node, request.GetNamespace(), request.GetName()):
		return true, ""
	}
	return false, fmt.Sprintf(none, node)
}

// read: get, list and watch single objects of a namespace.
func (r related) read(node string, request authorizer.Attributes) (bool, string) {
	switch {
	case !verb(request, "get", "list", "watch"):
		return false, "can only read resources of this type"
	case request.GetSubresource() != "":
		return false, "cannot read subresource"
	case request.GetNamespace() == "":
		return false, "can only read namespaced object of this type"
	}
	return r.allows(node, request)
}

// get single objects.
func (r related) get(node string, request authorizer.Attributes) (bool, string) {
	switch {
	case !verb(request, "get"):
		return false, "can only get individual resources of this type"
	case request.GetSubresource() != "":
		return false, "cannot get subresource"
	}
	return r.allows(node, request)
}

func verb(request authorizer.Attributes, allowed ...string) bool {
	return slices.Contains(allowed, request.GetVerb())
}

// selectsNode says whether a request is for objects only whose field names the node.
func selectsNode(request authorizer.Attributes, field, node string) bool {
	requirements, err := request.GetFieldSelector()
	if err != nil && len(requirements) == 0 {
		return false
	}
	for _, r := range requirements {
		if r.Field == field && r.Operator == selection.Equals && r.Value == node {
			return true
		}
	}
	return false
}
