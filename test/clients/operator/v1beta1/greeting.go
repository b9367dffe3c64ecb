// Package v1beta1 is the operator's API as it was: the words were called message.
package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/conversion"

	v1 "dhow/test/clients/operator/v1"
)

// GroupVersion is where Greetings are served.
var GroupVersion = schema.GroupVersion{Group: v1.GroupVersion.Group, Version: "v1beta1"}

// Greeting is the old form.
type Greeting struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   GreetingSpec      `json:"spec"`
	Status v1.GreetingStatus `json:"status,omitempty"`
}

// GreetingSpec is what is wanted.
type GreetingSpec struct {
	Message  string `json:"message,omitempty"`
	Language string `json:"language,omitempty"`
}

// GreetingList is a list of Greetings.
type GreetingList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Greeting `json:"items"`
}

// AddToScheme adds the kinds.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &Greeting{}, &GreetingList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

// ConvertTo makes the stored form.
func (g *Greeting) ConvertTo(hub conversion.Hub) error {
	out := hub.(*v1.Greeting)
	out.ObjectMeta, out.Status = g.ObjectMeta, g.Status
	out.Spec = v1.GreetingSpec{Words: g.Spec.Message, Language: g.Spec.Language}
	return nil
}

// ConvertFrom makes the old form.
func (g *Greeting) ConvertFrom(hub conversion.Hub) error {
	in := hub.(*v1.Greeting)
	g.ObjectMeta, g.Status = in.ObjectMeta, in.Status
	g.Spec = GreetingSpec{Message: in.Spec.Words, Language: in.Spec.Language}
	return nil
}

// DeepCopyObject copies all of it.
func (g *Greeting) DeepCopyObject() runtime.Object {
	out := *g
	g.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	return &out
}

// DeepCopyObject copies all of it.
func (l *GreetingList) DeepCopyObject() runtime.Object {
	out := *l
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	out.Items = make([]Greeting, len(l.Items))
	for i := range l.Items {
		out.Items[i] = *l.Items[i].DeepCopyObject().(*Greeting)
	}
	return &out
}
