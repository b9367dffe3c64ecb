package spec

import (
	"strings"
	"testing"
)

func FuzzChanges(f *testing.F) {
	for _, line := range []string{`CMD ["a", "b"]`, `ENV a=b c="d e"`, `LABEL x='y`, "EXPOSE 80 90/udp", "WORKDIR /x"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		change, err := ParseChanges([]string{line})
		if err == nil {
			err = change(&RunConfig{})
		}
		if err != nil && !strings.Contains(err.Error(), "--change") {
			t.Error(err)
		}
	})
}
