package main

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// layers is the import rule of ARCHITECTURE.md: a folder imports only folders of lower layers. A key with
// "/*" stands for each folder below it, which are then strangers to one another.
var layers = map[string]int{
	".":          7,
	"cli":        6,
	"assemble":   5,
	"kinds/*":    4,
	"scheduler":  4,
	"garbage":    4,
	"node":       4,
	"proxy":      4,
	"engine":     4,
	"dns":        4,
	"demo":       4,
	"cri":        4,
	"controller": 3,
	"apiserver":  3,
	"store":      2,
	"container":  2,
	"image":      2,
	"network":    2,
	"volume":     2,
	"identity":   2,
	"api":        1,
	"examples":   0,
	"lifecycle":  0,
	"internal/*": 0,
}

// mayUseUnix are the folders that speak to Linux directly.
var mayUseUnix = []string{"container", "image", "network", "volume", "store", "engine", "internal/*"}

// source is one parsed non-test file.
type source struct {
	path, folder string // folder: a key's instance in layers, such as "kinds/pod"
	file         *ast.File
}

// folderOf cuts a package's directory down to the folder that has a layer.
func folderOf(dir string) (folder, key string) {
	parts := strings.Split(filepath.ToSlash(dir), "/")
	if len(parts) > 1 {
		if _, ok := layers[parts[0]+"/*"]; ok {
			return parts[0] + "/" + parts[1], parts[0] + "/*"
		}
	}
	return parts[0], parts[0]
}

// ownModule holds folders with a go.mod of their own, and what is not product code.
func ownModule(path string) bool {
	return slices.Contains([]string{"bench", "test", "docs", "examples", "bin", ".git", ".ci"}, path) ||
		filepath.Base(path) == "testdata"
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // of a build that goes on
		}
		if err != nil {
			return err
		}
		if d.IsDir() {
			if ownModule(path) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		folder, _ := folderOf(filepath.Dir(path))
		all = append(all, source{path, folder, file})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func imports(f *ast.File) []string {
	var paths []string
	for _, spec := range f.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, p)
	}
	return paths
}

func TestImportsGoOnlyDownwards(t *testing.T) {
	for _, s := range sources(t) {
		_, key := folderOf(filepath.Dir(s.path))
		from, known := layers[key]
		if !known {
			t.Errorf("%s: folder %q has no layer: add it to layers and ARCHITECTURE.md", s.path, s.folder)
			continue
		}
		for _, p := range imports(s.file) {
			dir, ours := strings.CutPrefix(p, "dhow/")
			if !ours {
				continue
			}
			folder, key := folderOf(dir)
			if to, known := layers[key]; folder != s.folder && (!known || to >= from) {
				t.Errorf("%s (layer %d) imports %s (layer %d)", s.path, from, p, to)
			}
		}
	}
}

func TestOnlyLinuxFoldersUseUnix(t *testing.T) {
	for _, s := range sources(t) {
		_, key := folderOf(filepath.Dir(s.path))
		if slices.Contains(imports(s.file), "golang.org/x/sys/unix") && !slices.Contains(mayUseUnix, key) {
			t.Errorf("%s imports golang.org/x/sys/unix; only %v may", s.path, mayUseUnix)
		}
	}
}

func TestOnlyCliExitsAndReadsTheEnvironment(t *testing.T) {
	for _, s := range sources(t) {
		if s.folder == "cli" || s.folder == "." || ownProcess(s) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "os" &&
				slices.Contains([]string{"Exit", "Getenv", "LookupEnv", "Environ"}, sel.Sel.Name) {
				t.Errorf("%s uses os.%s; only cli may", s.path, sel.Sel.Name)
			}
			return true
		})
	}
}

// ownProcess: the shim and the OCI runtime's init are programs of their own within the binary, other programs are their own, and helpers of tests run in tests' processes.
func ownProcess(s source) bool {
	dir := filepath.Dir(s.path)
	return dir == "container/shim" || dir == "container/oci/inside" || s.file.Name.Name == "main" || strings.HasSuffix(dir, "test")
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	doc := map[string]bool{}
	for _, s := range sources(t) {
		dir := filepath.Dir(s.path)
		doc[dir] = doc[dir] || s.file.Doc != nil
	}
	for dir, has := range doc {
		if !has {
			t.Errorf("package %s has no package comment", dir)
		}
	}
}

func TestDependenciesAreExplainedAndAllowed(t *testing.T) {
	data, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		if r.Mod.Path == "k8s.io/kubernetes" {
			t.Errorf("go.mod requires k8s.io/kubernetes: the judge is never a part of the product")
		}
		if !r.Indirect && !strings.Contains(string(page), "`"+r.Mod.Path+"`") {
			t.Errorf("docs/dependencies.md does not say what %s is for", r.Mod.Path)
		}
	}
}
