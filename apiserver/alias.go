package apiserver

import (
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
)

// Alias is a further group version in which a kind's objects are served, converted from and to the kind's own.
type Alias struct {
	GroupVersion  schema.GroupVersion
	new, newList  func() runtime.Object
	toHub, toSelf func(in, out Object)
	// fields translates this version's field selectors to the kind's own.
	fields map[string]string
}

// DefineAlias says how to convert: toHub makes the kind's own version (H) of this one (T), toSelf the reverse.
// Both fill an empty object. fields maps this version's selectable fields to the kind's own; nil: the same.
func DefineAlias[T Object, L runtime.Object, H Object](gv schema.GroupVersion, toHub func(in T, out H), toSelf func(in H, out T), fields map[string]string) Alias {
	return Alias{
		GroupVersion: gv, new: newOf[T](), newList: newOf[L](), fields: fields,
		toHub:  func(in, out Object) { toHub(in.(T), out.(H)) },
		toSelf: func(in, out Object) { toSelf(in.(H), out.(T)) },
	}
}

// With serves the kind in further versions.
func (k Kind) With(aliases ...Alias) Kind {
	k.served = append(k.served[:len(k.served):len(k.served)], aliases...)
	return k
}

// aliases are the endpoints of the kind's further versions: the same storage.
func (k Kind) aliases(storages map[string]rest.Storage) map[schema.GroupVersion]map[string]rest.Storage {
	all := map[schema.GroupVersion]map[string]rest.Storage{}
	for _, a := range k.served {
		all[a.GroupVersion] = storages
	}
	return all
}

// addConversions teaches a scheme the conversions of a kind's further versions, lists included.
func addConversions(s *runtime.Scheme, k Kind) error {
	for _, a := range k.served {
		if err := addPair(s, a.new, k.new, a.toHub, a.toSelf); err != nil {
			return err
		}
		err := addListPair(s, a.newList, k.newList, a.toHub, a.toSelf)
		if err != nil {
			return err
		}
		if err := addAliasFields(s, k, a); err != nil {
			return err
		}
	}
	return nil
}

func addPair(s *runtime.Scheme, self, hub func() runtime.Object, toHub, toSelf func(in, out Object)) error {
	err := s.AddConversionFunc(self(), hub(), func(in, out any, _ conversion.Scope) error {
		toHub(in.(Object), emptied(out))
		return nil
	})
	if err != nil {
		return err
	}
	return s.AddConversionFunc(hub(), self(), func(in, out any, _ conversion.Scope) error {
		toSelf(in.(Object), emptied(out))
		return nil
	})
}

// emptied forgets what an object holds but its kind: a webhook's answer is converted into the object that it was asked of.
func emptied(out any) Object {
	obj := out.(Object)
	kind := obj.GetObjectKind().GroupVersionKind()
	reflect.ValueOf(obj).Elem().SetZero()
	obj.GetObjectKind().SetGroupVersionKind(kind)
	return obj
}

func addListPair(s *runtime.Scheme, self, hub func() runtime.Object, toHub, toSelf func(in, out Object)) error {
	if err := s.AddConversionFunc(self(), hub(), convertList(toHub)); err != nil {
		return err
	}
	return s.AddConversionFunc(hub(), self(), convertList(toSelf))
}

// convertList converts the items of one list type into those of another, and the list's metadata.
func convertList(item func(in, out Object)) conversion.ConversionFunc {
	return func(in, out any, _ conversion.Scope) error {
		from, to := reflect.ValueOf(in).Elem(), reflect.ValueOf(out).Elem()
		to.FieldByName("ListMeta").Set(from.FieldByName("ListMeta"))
		items := from.FieldByName("Items")
		made := reflect.MakeSlice(to.FieldByName("Items").Type(), items.Len(), items.Len())
		for i := range items.Len() {
			item(items.Index(i).Addr().Interface().(Object), made.Index(i).Addr().Interface().(Object))
		}
		to.FieldByName("Items").Set(made)
		return nil
	}
}

func addAliasFields(s *runtime.Scheme, k Kind, a Alias) error {
	names := map[string]string{"metadata.namespace": "metadata.namespace"}
	if a.fields == nil {
		for _, name := range k.selectable() {
			names[name] = name
		}
	}
	names["metadata.name"] = "metadata.name"
	for from, to := range a.fields {
		names[from] = to
	}
	return s.AddFieldLabelConversionFunc(a.GroupVersion.WithKind(k.Kind), func(label, value string) (string, string, error) {
		if name, ok := names[label]; ok {
			return name, value, nil
		}
		return "", "", fmt.Errorf("field label not supported: %s", label)
	})
}
