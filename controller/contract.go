// Package controller is the engine of the one reconcile pattern: a controller says as data what it reads and
// writes, and turns a key into changes by read → plan → apply. The declarations wire the watches, make the
// controller's RBAC role and draw the graph. It knows no kind.
package controller

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
)

// Controller is one reconcile loop, declared. A kind's folder exports it:
//
//	func Controller() controller.Controller   // kinds/deployment
type Controller struct {
	// Name is the constant part of its user, "system:controller:<Name>", its field manager and its logs.
	Name string
	// Reads are the kinds it watches; the informers of all of them have synced before the first Reconcile.
	Reads []Read
	// Writes are what it may change; they become its ClusterRole, with get, list and watch on Reads.
	Writes []Write
	// Workers reconcile keys in parallel, never one key twice at once; 4 when zero.
	Workers int
	// Resync enqueues every key of the first Read this often; never when zero.
	Resync time.Duration
	// New makes the reconciler once the informers exist. It starts nothing.
	New func(Env) Reconciler
}

// Read is one watched kind.
type Read struct {
	// Object is a typed example, &appsv1.ReplicaSet{}.
	Object runtime.Object
	// Keys says which keys to reconcile when obj was added, changed or deleted (old is nil unless changed).
	// Nil means the object itself. Both are shared and read-only.
	Keys func(env Env, obj, old runtime.Object) []types.NamespacedName
}

// Write is one RBAC rule: verbs on resources ("pods", "deployments/status") of a group, restricted to objects of
// Names if there are any.
type Write struct {
	Group     string
	Resources []string
	Verbs     []string
	Names     []string
}

// Env is what the engine gives a controller.
type Env struct {
	// Client acts as the controller's own user. Objects it returns are the caller's to change.
	Client kubernetes.Interface
	// Informers are shared with the whole process: what listers return is read-only.
	Informers informers.SharedInformerFactory
	// Now is the clock (time.Now outside tests).
	Now func() time.Time
	// Event records an event about obj ("Normal" or "Warning").
	Event func(obj runtime.Object, kind, reason, message string)
}

// Reconciler makes one key right. An error means: again, with back-off.
type Reconciler interface {
	Reconcile(ctx context.Context, key types.NamespacedName) (Result, error)
}

// Result asks for another look at the same key after a while; zero asks for none.
type Result struct{ After time.Duration }
