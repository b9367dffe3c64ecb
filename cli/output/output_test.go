package output

import (
	"strings"
	"testing"
	"time"
)

func TestListsArePrintedAsTheFormatSays(t *testing.T) {
	rows := []Row{{"A": "1", "B": "x"}, {"A": "22", "B": "y"}}
	headers := Row{"A": "COLUMN A", "B": "B"}
	for format, want := range map[string]string{
		"":                          "COLUMN A   B\n1          x\n22         y\n",
		"table":                     "COLUMN A   B\n1          x\n22         y\n",
		`table {{.B}}\t{{.A}}`:      "B         COLUMN A\nx         1\ny         22\n",
		"{{.A}}-{{upper .B}}":       "1-X\n22-Y\n",
		"json":                      "{\"A\":\"1\",\"B\":\"x\"}\n{\"A\":\"22\",\"B\":\"y\"}\n",
		`{{json .B}}{{pad .A 1 1}}`: "\"x\" 1 \n\"y\" 22 \n",
	} {
		var b strings.Builder
		if err := List(&b, format, "{{.A}}\t{{.B}}", headers, rows); err != nil || b.String() != want {
			t.Errorf("%q: got %q, %v, want %q", format, b.String(), err, want)
		}
	}
	for _, format := range []string{"{{.None}}", "{{", "table {{.None}}"} {
		if err := List(&strings.Builder{}, format, "", headers, rows); err == nil || !strings.Contains(err.Error(), "--format") {
			t.Errorf("%q: %v", format, err)
		}
	}
}

func TestDescriptionsAreJSONOrATemplateOverIt(t *testing.T) {
	thing := map[string]any{"Id": "x", "Size": 12345678901, "List": []string{"a", "b"}}
	for format, want := range map[string]string{
		"{{.Id}} {{.Size}}":  "x 12345678901\n",
		"{{index .List 1}}":  "b\n",
		`{{join .List ","}}`: "a,b\n",
		"{{json .List}}":     "[\"a\",\"b\"]\n",
		"json":               `{"Id":"x","List":["a","b"],"Size":12345678901}` + "\n",
	} {
		var b strings.Builder
		if err := Describe(&b, format, []any{thing}); err != nil || b.String() != want {
			t.Errorf("%q: got %q, %v", format, b.String(), err)
		}
	}
}

func TestFiltersAreReadAndRefused(t *testing.T) {
	now := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	f, err := ParseFilters([]string{"label=a", "label=b=c", "dangling=true", "until=2h"}, "label", "dangling", "until")
	if err != nil {
		t.Fatal(err)
	}
	if !f.Labels("label", map[string]string{"a": "", "b": "c"}) || f.Labels("label", map[string]string{"a": "", "b": "d"}) {
		t.Error("labels are told apart wrongly")
	}
	if value, set, err := f.Bool("dangling"); !value || !set || err != nil {
		t.Error(value, set, err)
	}
	if at, err := f.Time("until", now); err != nil || !at.Equal(now.Add(-2*time.Hour)) {
		t.Error(at, err)
	}
	for _, flags := range [][]string{{"label"}, {"bogus=1"}} {
		if _, err := ParseFilters(flags, "label"); err == nil {
			t.Errorf("%v was taken", flags)
		}
	}
	for text, want := range map[string]time.Time{"2024-01-02": time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC), "60": time.Unix(60, 0)} {
		if at, err := ParseTime(text, now); err != nil || !at.Equal(want) {
			t.Errorf("%s: %v, %v", text, at, err)
		}
	}
}

func TestTimesAndSizesAreInDockersWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "Less than a second", time.Second: "1 second", 59 * time.Second: "59 seconds", time.Minute: "About a minute",
		time.Hour: "About an hour", 47 * time.Hour: "47 hours", 72 * time.Hour: "3 days", 24 * 20 * time.Hour: "2 weeks",
		24 * 100 * time.Hour: "3 months", 24 * 800 * time.Hour: "2 years",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0B", 999: "999B", 1500: "1.5kB", 12_345_678: "12.3MB", 7_000_000_000: "7GB"} {
		if got := Size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
