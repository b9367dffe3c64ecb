//go:build !nocluster

package assemble

import (
	"flag"
	"os"
	"testing"

	"dhow/controller"
	"dhow/identity"
)

var update = flag.Bool("update", false, "write the page anew")

// graphPage is drawn from the controllers' declarations: `go test ./assemble -run Graph -update`.
const graphPage = "../docs/controllers.md"

func TestTheGraphOfControllersIsDrawn(t *testing.T) {
	graph, err := controller.Graph(controllers(ServerConfig{}, &identity.Identity{CA: &identity.Authority{}}, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := "# Controllers\n\nWhat each controller reads and writes, drawn from the declarations that also wire its watches and make its\n" +
		"role. `make gen` draws it anew.\n\n```mermaid\n" + graph + "```\n"
	if *update {
		if err := os.WriteFile(graphPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(graphPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Errorf("%s is out of date: make gen", graphPage)
	}
}
