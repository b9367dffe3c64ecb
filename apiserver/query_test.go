package apiserver

import (
	"net/url"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestOptionsAreReadFromQueries(t *testing.T) {
	q, err := url.ParseQuery("stdin=true&tty&container=a&command=sh&command=-c&stderr=0")
	if err != nil {
		t.Fatal(err)
	}
	var got corev1.PodExecOptions
	if err := decodeQuery(q, reflect.ValueOf(&got).Elem()); err != nil {
		t.Fatal(err)
	}
	want := corev1.PodExecOptions{Stdin: true, TTY: true, Container: "a", Command: []string{"sh", "-c"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func FuzzQueries(f *testing.F) {
	for _, seed := range []string{"tailLines=10&follow", "sinceTime=2026-01-01T00:00:00Z&limitBytes=-1", "ports=80&ports=x", "command=%00&tty=maybe"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := url.ParseQuery(text)
		if err != nil {
			return // the server would have refused it already
		}
		for _, example := range queryOptions {
			_ = decodeQuery(q, reflect.New(reflect.TypeOf(example).Elem()).Elem())
		}
	})
}
