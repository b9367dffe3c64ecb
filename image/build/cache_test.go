package build

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dhow/image/archive"
	"dhow/image/build/dockerfile"
)

func TestStepsAreCachedByWhatTheyDependOn(t *testing.T) {
	r := newRig(t)
	r.file("a", "1")
	r.file("other", "1")
	const text = "FROM base\nARG V=1\nLABEL l=1\nCOPY a /a\nRUN echo $V\n"
	first := r.build(text, Options{})
	r.ran()
	for _, step := range []struct {
		name     string
		change   func(o *Options) string
		commands int
	}{
		{"nothing", func(*Options) string { return text }, 0},
		{"the time of a file", func(*Options) string {
			r.check(os.Chtimes(filepath.Join(r.context, "a"), time.Unix(1, 0), time.Unix(1, 0)))
			return text
		}, 0},
		{"a file that is not copied", func(*Options) string { r.file("other", "2"); return text }, 0},
		{"a label", func(*Options) string { return strings.Replace(text, "l=1", "l=2", 1) }, 0},
		{"a build argument", func(o *Options) string { v := "2"; o.Args = map[string]*string{"V": &v}; return text }, 1},
		{"a proxy", func(o *Options) string { v := "p"; o.Args = map[string]*string{"HTTP_PROXY": &v}; return text }, 0},
		{"a copied file", func(*Options) string { r.file("a", "2"); return text }, 1},
		{"--no-cache", func(o *Options) string { o.NoCache = true; return text }, 1},
	} {
		o := Options{}
		r.build(step.change(&o), o)
		if got := r.ran(); len(got) != step.commands {
			t.Errorf("after a change of %s %d commands ran, want %d", step.name, len(got), step.commands)
		}
	}
	r.file("a", "1")
	if again := r.build(text, Options{}); again.ID != first.ID && len(r.ran()) != 0 {
		t.Errorf("the same build made %s, then %s", first.ID, again.ID)
	}
}

func TestOnlyStagesThatAreNeededAreBuilt(t *testing.T) {
	r := newRig(t)
	const text = "FROM base AS one\nRUN echo 1 > /one\nFROM base AS two\nRUN echo 2 > /two\nFROM base AS three\nCOPY --from=one /one /\nRUN test -e /one\n"
	r.build(text, Options{})
	if got := strings.Join(r.ran(), "\n"); strings.Contains(got, "echo 2") || !strings.Contains(got, "echo 1") {
		t.Errorf("ran %q", got)
	}
	r.build(text, Options{Target: "TWO"})
	if got := r.ran(); len(got) != 1 || !strings.Contains(got[0], "echo 2") {
		t.Errorf("with --target two %q ran", got)
	}
	if _, err := r.try(text, Options{Target: "four"}); err == nil || !strings.Contains(err.Error(), "one, two, three") {
		t.Errorf("--target four: %v", err)
	}
}

func TestASecretIsInNoLayerAndNoHistory(t *testing.T) {
	r := newRig(t)
	d := r.build("FROM base\nRUN --mount=type=secret,id=key test $(wc -c < /run/secrets/key) = 7\n"+
		"RUN --mount=type=secret,id=key,env=KEY test ${#KEY} = 7\n", Options{Secrets: map[string][]byte{"key": []byte("hunter2")}, Tags: []string{"secret"}})
	var saved strings.Builder
	r.check(r.store.Save(t.Context(), &saved, archive.OCI, d.ID))
	if strings.Contains(saved.String(), "hunter2") || strings.Contains(string(d.Raw), "hunter2") {
		t.Error("the image holds the secret")
	}
	if _, err := r.try("FROM base\nRUN --mount=type=secret,id=none,required=true true\n", Options{}); err == nil || !strings.Contains(err.Error(), "--secret id=none") {
		t.Errorf("a secret that is missing: %v", err)
	}
}

func TestDockerignoreHidesFilesFromTheBuild(t *testing.T) {
	r := newRig(t)
	r.file(".dockerignore", "*.log\nsecret\n!keep.log\n")
	for _, name := range []string{"a.log", "keep.log", "secret/x", "b.txt"} {
		r.file(name, name)
	}
	r.build("FROM base\nCOPY . /x/\nRUN ! test -e /x/a.log && ! test -e /x/secret && test -e /x/keep.log && test -e /x/b.txt\n", Options{})
	if _, err := r.try("FROM base\nCOPY secret/x /\n", Options{}); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("COPY of what is ignored: %v", err)
	}
}

func TestEqualBuildsWithATimeGivenMakeEqualImages(t *testing.T) {
	epoch := time.Unix(1_700_000_000, 0).UTC()
	const text = "FROM scratch\nCOPY f /d/f\nWORKDIR /w\nCMD [\"x\"]\n"
	var ids []string
	for range 2 {
		r := newRigIn(t, t.TempDir())
		r.file("f", "f")
		ids = append(ids, r.build(text, Options{Epoch: &epoch}).ID)
	}
	if ids[0] != ids[1] {
		t.Errorf("two stores made %v", ids)
	}
}

func TestConfigurationBecomesTheImages(t *testing.T) {
	r := newRig(t)
	d := r.build("FROM base AS parent\nONBUILD RUN echo triggered\nCMD [\"old\"]\nFROM parent\nUSER worker\nEXPOSE 80 53/udp 8000-8001\nVOLUME /v\n"+
		"STOPSIGNAL SIGINT\nHEALTHCHECK --interval=5s CMD true\nLABEL a=\"b c\"\nENTRYPOINT [\"e\"]\n", Options{Labels: map[string]string{"x": "y"}})
	c := d.Spec.Config
	if c.User != "worker" || len(c.ExposedPorts) != 4 || c.StopSignal != "SIGINT" || c.Labels["a"] != "b c" || c.Labels["x"] != "y" ||
		c.Cmd != nil || c.Entrypoint[0] != "e" || c.Healthcheck.Interval != 5*time.Second || len(c.OnBuild) != 0 {
		t.Errorf("the image's configuration is %+v", c)
	}
	if got := r.ran(); len(got) != 1 || !strings.Contains(got[0], "triggered") {
		t.Errorf("ran %q, want the trigger", got)
	}
}

func TestErrorsNameTheirPlace(t *testing.T) {
	r := newRig(t)
	for text, want := range map[string]string{
		"FROM base\n\nRUNN x\n":                   "Dockerfile:3:1: unknown instruction: RUNN",
		"FROM base\nCOPY --bogus a b\n":           "Dockerfile:2:6: unknown flag: --bogus",
		"FROM base\nCOPY a.txt nothing.txt /x/\n": "Dockerfile:2:",
		"FROM base\nRUN exit 3\n":                 "Dockerfile:2:1: process \"/bin/sh -c exit 3\" did not complete successfully: exit code: 3",
		"RUN x\n":                                 "Dockerfile:1:1: no build stage in current context",
		"":                                        "Dockerfile: file with no instructions",
		"FROM base\nEXPOSE 99999\n":               "Dockerfile:2:1: invalid containerPort: 99999",
		"FROM base\nRUN --mount=type=ssh,required=true true\n": "Dockerfile:2:1: ssh default: no agent",
		"FROM base\nRUN --network=host true\n":                 "Dockerfile:2:1: RUN --network=host needs the entitlement",
		"FROM base\nENV a=${b:?needed}\n":                      "Dockerfile:2:",
	} {
		_, err := r.try(text, Options{})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s…", text, err, want)
		}
		var place *dockerfile.Error
		if errors.As(err, &place) && place.First > 0 && !strings.Contains(place.Excerpt(), ">>>") {
			t.Errorf("%q: excerpt %q", text, place.Excerpt())
		}
	}
}

func TestNothingLeadsOutOfTheContextOrTheRoot(t *testing.T) {
	r := newRig(t)
	outside := filepath.Join(t.TempDir(), "outside")
	r.check(os.WriteFile(outside, []byte("private"), 0o600))
	r.check(os.Symlink(outside, filepath.Join(r.context, "out")))
	r.check(os.Symlink("../../../../../../../../.."+outside, filepath.Join(r.context, "up")))
	for _, text := range []string{"COPY out /x", "COPY up /x", "COPY ../outside /x", "RUN --mount=type=bind,source=out,target=/m cat /m"} {
		if _, err := r.try("FROM base\n"+text+"\n", Options{}); err == nil {
			t.Errorf("%s: it was read", text)
		}
	}
	r.file("f", "overwritten")
	r.build("FROM base\nRUN ln -s "+outside+" /out && ln -s / /esc\nCOPY f /out\nCOPY f /esc/../../../../tmp/build-escape\n", Options{})
	if data, _ := os.ReadFile(outside); string(data) != "private" {
		t.Errorf("COPY wrote outside: %q", data)
	}
	if _, err := os.Stat("/tmp/build-escape"); err == nil {
		t.Error("COPY wrote into the machine's /tmp")
	}
}

func FuzzDockerfile(f *testing.F) {
	for _, text := range []string{"FROM a\nRUN <<E\nx\nE\n", "ARG A=1\nFROM $A AS b\nCOPY --from=b x y\n", "# escape=`\nFROM a\n", "FROM a\nONBUILD RUN x\nENV a=${b:-c}\n"} {
		f.Add(text)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		w := &work{Options: Options{Name: "Dockerfile", Dockerfile: []byte(text)}}
		if w.plan() != nil {
			return
		}
		for _, s := range w.stages {
			now := &state{args: newVars()}
			for _, command := range s.Commands {
				if w.expand(now, command) == nil {
					_ = configure(now, command) // what is refused is refused by an error
				}
			}
		}
	})
}
