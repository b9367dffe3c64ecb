package format

import (
	"encoding/json"
	"strings"
	"testing"
	"text/template"
)

const sample = `{"Id": "abc", "Size": 12345678901, "Zero": 0, "On": true, "Off": false, "None": null, "Empty": [],
	"List": ["a", "b", "c"], "Map": {"x": {"y": "deep"}, "w": {"y": "also"}}, "Text": "a <b> & 'c'", "Things": [{"N": 1}, {"N": 2}]}`

func data(t testing.TB) any {
	t.Helper()
	var v any
	d := json.NewDecoder(strings.NewReader(sample))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// standard is what text/template prints.
func standard(text string, data any) (string, error) {
	t, err := template.New("").Option("missingkey=error").Funcs(template.FuncMap{"upper": strings.ToUpper}).Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, data)
	return b.String(), err
}

func ours(text string, data any) (string, error) {
	t, err := Parse(text, map[string]Function{"upper": func(args []any) (any, error) {
		if err := Count(args, 1); err != nil {
			return nil, err
		}
		s, err := Arg[string](args, 0)
		return strings.ToUpper(s), err
	}})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, data)
	return b.String(), err
}

// good are templates that print something, the same as text/template's.
var good = []string{
	"", "plain", "{{.Id}}", "{{.Id}} {{.Size}}\n", "{{.Map.x.y}}", "{{(index .Map \"x\").y}}", "{{.None}}", "{{print .None}}", "{{.}}", "{{.List}}{{.Map}}",
	"{{if .On}}on{{else}}off{{end}}", "{{if .Off}}on{{else if .Empty}}full{{else}}off{{end}}", "{{if .Zero}}0{{end}}", "{{if .None}}x{{else}}y{{end}}",
	"{{range .List}}{{.}},{{end}}", "{{range $i, $e := .List}}{{$i}}={{$e}} {{end}}", "{{range .Empty}}x{{else}}none{{end}}", "{{range $k, $v := .Map}}{{$k}}:{{$v.y}} {{end}}",
	"{{range .None}}x{{else}}none{{end}}", "{{range 3}}{{.}}{{end}}", "{{range $x := .List}}{{if eq $x \"b\"}}{{break}}{{end}}{{$x}}{{end}}",
	"{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "{{range .Things}}{{.N}}{{$.Id}}{{end}}",
	"{{with .Map.x}}{{.y}}{{end}}", "{{with .None}}x{{else}}y{{end}}", "{{with $m := .Map}}{{$m.x.y}}{{end}}", "{{with .None}}x{{else with .Id}}{{.}}{{end}}",
	"{{$x := 1}}{{if .On}}{{$x = 2}}{{end}}{{$x}}", "{{$x := .Id}}{{range .List}}{{$x := .}}{{$x}}{{end}}{{$x}}", "{{$x := \"\"}}{{range $x = .List}}{{end}}{{$x}}",
	"{{.Id | upper}}", "{{upper .Id | printf \"%s-%5s|\" \"a\"}}", "{{printf \"%q %d %.1f %t\" .Id 5 1.5 true}}", "{{println 1 \"a\" true}}", "{{print 1 2 \"a\" \"b\" nil}}",
	"{{len .List}}{{len .Id}}{{len .Map}}{{len .Empty}}", "{{index .List 1}}", "{{index .Map \"x\" \"y\"}}", "{{index .Map \"none\"}}", "{{index .Id 0}}",
	"{{slice .Id 1}}{{slice .Id 1 2}}{{slice .List 1}}{{slice .List}}", "{{html .Text}} {{js .Text}} {{urlquery .Text}}",
	"{{eq .Id \"x\" \"abc\"}}{{ne .Id \"x\"}}{{eq 1 1}}{{eq .None nil}}{{eq .None \"x\"}}{{eq .Size \"12345678901\"}}{{eq true .On}}",
	"{{lt 1 2}}{{le 2 2}}{{gt 1.5 2.5}}{{ge \"b\" \"a\"}}", "{{and .On .Id}}{{and .Off .Id}}{{or .Off .Id}}{{or .Off .Zero}}{{not .On}}{{not .None}}", "{{.Id | and .On}}",
	"{{and .Off (index .List 9)}}{{or .On (index .List 9)}}", "{{define \"t\"}}[{{.}}]{{end}}{{template \"t\" .Id}}{{template \"t\"}}", "{{block \"b\" .List}}{{len .}}{{end}}",
	"{{- .Id -}}  x", "{{/* nothing */}}a", "{{'a'}}{{0x10}}{{1e3}}{{-5}}{{`raw`}}", "{{(.Map).x.y}}", "{{$}}{{$.Id}}",
}

// bad are templates that both refuse, when they are read or when they are executed.
var bad = []string{
	"{{", "{{.Nothing}}", "{{.Id.x}}", "{{.None.x}}", "{{nofunction}}", "{{.Id 1}}", "{{index .List 3}}", "{{index .List -1}}", "{{index .None 1}}", "{{index .On 1}}",
	"{{index .List \"a\"}}", "{{index .Map 1}}", "{{slice .Id 3 2}}", "{{slice .Id 1 9}}", "{{slice .Map 1}}", "{{len 1}}", "{{len .None}}", "{{eq 1 \"a\"}}", "{{eq 1}}", "{{eq .List .List}}",
	"{{lt .On .Off}}", "{{lt 1 \"a\"}}", "{{lt 1}}", "{{not}}", "{{and}}", "{{range .On}}{{end}}", "{{range .Id}}{{end}}", "{{template \"none\"}}", "{{$x}}", "{{if}}{{end}}",
	"{{nil}}", "{{.Id | 1}}", "{{printf 1}}", "{{upper 1}}", "{{call .Id}}", "{{1 2}}", "{{(index .Map \"x\").z}}", "{{99999999999999999999}}",
}

func TestTemplatesPrintWhatTheStandardOnesDo(t *testing.T) {
	for _, text := range good {
		want, err := standard(text, data(t))
		if err != nil {
			t.Errorf("%q: text/template refuses it: %v", text, err)
		}
		if got, err := ours(text, data(t)); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestTemplatesAreRefusedWhereTheStandardOnesAre(t *testing.T) {
	for _, text := range bad {
		if got, err := standard(text, data(t)); err == nil {
			t.Errorf("%q: text/template prints %q", text, got)
		}
		if got, err := ours(text, data(t)); err == nil {
			t.Errorf("%q: printed %q", text, got)
		}
	}
}

func TestATemplateThatCallsItselfWithoutEndIsRefused(t *testing.T) {
	if _, err := ours(`{{define "t"}}{{template "t"}}{{end}}{{template "t"}}`, nil); err == nil || !strings.Contains(err.Error(), "without end") {
		t.Error(err)
	}
}

// FuzzTemplates: what text/template prints is what is printed.
func FuzzTemplates(f *testing.F) {
	for _, text := range append(good, bad...) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 200 || strings.Contains(text, "template") || strings.ContainsAny(text, "0123456789") {
			return // without end, or nearly
		}
		want, err := standard(text, data(t))
		got, err2 := ours(text, data(t))
		if err == nil && (err2 != nil || got != want) {
			t.Errorf("%q: got %q, %v, want %q", text, got, err2, want)
		}
	})
}
