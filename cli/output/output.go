// Package output prints lists and descriptions as docker's users know them: tables, Go templates, JSON.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"text/template"
	"time"
)

// Row is one line of a list: the fields that templates may use.
type Row map[string]string

// Label is a label's value, for templates ({{.Label "tier"}}), of a row that has Labels.
func (r Row) Label(key string) string {
	for pair := range strings.SplitSeq(r["Labels"], ",") {
		if name, value, _ := strings.Cut(pair, "="); name == key {
			return value
		}
	}
	return ""
}

// List prints rows by a format: "table" and a template, "json", or a template; docker's "\t" and "\n" are understood.
// standard is the template that an empty format and "table" alone stand for. headers are the columns' titles.
func List(w io.Writer, format, standard string, headers Row, rows []Row) error {
	switch {
	case format == "json":
		for _, row := range rows {
			line, err := json.Marshal(row)
			if err != nil {
				return err
			}
			fmt.Fprintln(w, string(line))
		}
		return nil
	case format == "" || strings.TrimSpace(format) == "table":
		return table(w, standard, headers, rows)
	}
	if rest, ok := strings.CutPrefix(format, "table "); ok {
		return table(w, rest, headers, rows)
	}
	t, err := parse(format)
	if err != nil {
		return err
	}
	return each(w, t, rows)
}

func table(w io.Writer, format string, headers Row, rows []Row) error {
	t, err := parse(format)
	if err != nil {
		return err
	}
	columns := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
	if err := each(columns, t, append([]Row{headers}, rows...)); err != nil {
		return err
	}
	return columns.Flush()
}

func each(w io.Writer, t *template.Template, rows []Row) error {
	for _, row := range rows {
		if err := t.Execute(w, row); err != nil {
			return fmt.Errorf("--format: %w", err)
		}
		fmt.Fprintln(w)
	}
	return nil
}

// Describe prints things as a JSON array, or each by a template. Templates see the fields as the JSON has them.
func Describe(w io.Writer, format string, things []any) error {
	if format == "" || format == "json" {
		return describeJSON(w, format == "json", things)
	}
	t, err := parse(format)
	if err != nil {
		return err
	}
	for _, thing := range things {
		data, err := json.Marshal(thing)
		if err != nil {
			return err
		}
		var fields any
		numbers := json.NewDecoder(bytes.NewReader(data))
		numbers.UseNumber()
		if err := numbers.Decode(&fields); err != nil {
			return err
		}
		if err := t.Execute(w, fields); err != nil {
			return fmt.Errorf("--format: %w", err)
		}
		fmt.Fprintln(w)
	}
	return nil
}

func describeJSON(w io.Writer, short bool, things []any) error {
	if things == nil {
		things = []any{}
	}
	if short {
		for _, thing := range things {
			line, err := json.Marshal(thing)
			if err != nil {
				return err
			}
			fmt.Fprintln(w, string(line))
		}
		return nil
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "    ")
	out.SetEscapeHTML(false)
	return out.Encode(things)
}

func parse(format string) (*template.Template, error) {
	format = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format)
	t, err := template.New("").Option("missingkey=error").Funcs(functions()).Parse(format)
	if err != nil {
		return nil, fmt.Errorf("--format: %w", err)
	}
	return t, nil
}

// functions are docker's.
func functions() template.FuncMap {
	return template.FuncMap{
		"json": func(v any) (string, error) {
			var b bytes.Buffer
			out := json.NewEncoder(&b)
			out.SetEscapeHTML(false)
			err := out.Encode(v)
			return strings.TrimSpace(b.String()), err
		},
		"split": strings.Split,
		"join":  join,
		"title": func(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] },
		"lower": strings.ToLower,
		"upper": strings.ToUpper,
		"pad": func(s string, before, after int) string {
			if s == "" {
				return s
			}
			return strings.Repeat(" ", before) + s + strings.Repeat(" ", after)
		},
		"truncate": func(s string, n int) string { return string([]rune(s)[:min(n, len([]rune(s)))]) },
	}
}

// join takes lists of texts and the lists of a decoded JSON.
func join(list any, separator string) (string, error) {
	switch all := list.(type) {
	case []string:
		return strings.Join(all, separator), nil
	case []any:
		texts := make([]string, len(all))
		for i, v := range all {
			texts[i] = fmt.Sprint(v)
		}
		return strings.Join(texts, separator), nil
	default:
		return "", fmt.Errorf("join of %T", list)
	}
}

// Size is a number of bytes as docker prints it: three or four digits and a decimal unit.
func Size(n uint64) string {
	value, unit := float64(n), "B"
	for _, next := range []string{"kB", "MB", "GB", "TB", "PB"} {
		if value < 1000 {
			break
		}
		value, unit = value/1000, next
	}
	return fmt.Sprintf("%.3g%s", value, unit)
}

// Ago is a time in the past in docker's words.
func Ago(at, now time.Time) string {
	if at.IsZero() || at.Unix() <= 0 {
		return "N/A"
	}
	return Duration(now.Sub(at)) + " ago"
}

// Duration is a time span in docker's words.
func Duration(d time.Duration) string {
	seconds, minutes, hours := int(d.Seconds()), int(d.Minutes()), int(d.Hours()+0.5)
	switch {
	case seconds < 1:
		return "Less than a second"
	case seconds == 1:
		return "1 second"
	case seconds < 60:
		return fmt.Sprintf("%d seconds", seconds)
	case minutes == 1:
		return "About a minute"
	case minutes < 60:
		return fmt.Sprintf("%d minutes", minutes)
	case hours == 1:
		return "About an hour"
	case hours < 48:
		return fmt.Sprintf("%d hours", hours)
	case hours < 24*7*2:
		return fmt.Sprintf("%d days", hours/24)
	case hours < 24*30*2:
		return fmt.Sprintf("%d weeks", hours/24/7)
	case hours < 24*365*2:
		return fmt.Sprintf("%d months", hours/24/30)
	default:
		return fmt.Sprintf("%d years", int(d.Hours())/24/365)
	}
}
