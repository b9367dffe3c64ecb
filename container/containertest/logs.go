package containertest

import (
	"os"
	"strconv"
	"strings"
)

func logBehaviours() map[string]func(*rig) {
	return map[string]func(*rig){
		"each line is logged with its time and stream": logFormat,
		"a long line is logged in parts":               longLine,
		"output without an end of line is kept":        openLine,
		"a log is opened anew":                         reopenLog,
		"the log of one that has ended is not opened":  reopenEnded,
	}
}

func logFormat(r *rig) {
	end := r.waitExit(r.launch(r.sh("echo out; echo err >&2")))
	got := map[string]string{}
	for _, e := range r.entries(end.LogPath) {
		got[e.stream+" "+e.tag] = e.text
		if ns := e.at.UnixNano(); ns < end.CreatedAt || ns > end.FinishedAt+int64(patience) {
			r.Errorf("a line of %v, but the container ended at %d", e.at, end.FinishedAt)
		}
	}
	if len(got) != 2 || got["stdout F"] != "out" || got["stderr F"] != "err" {
		r.Errorf("log has %v", got)
	}
}

func longLine(r *rig) {
	end := r.waitExit(r.launch(r.sh("head -c 40000 /dev/zero | tr '\\0' x; echo; echo end")))
	lines := r.entries(end.LogPath)
	if first, last := lines[0], lines[len(lines)-1]; first.tag != "P" || last.tag != "F" || last.text != "end" {
		r.Errorf("it begins with %s and ends with %s %q", first.tag, last.tag, last.text)
	}
	if want := strings.Repeat("x", 40000) + "\nend\n"; r.output(end) != want {
		r.Errorf("the log has %d bytes of %d", len(r.output(end)), len(want))
	}
}

func openLine(r *rig) {
	if out, _ := r.result(r.sh("printf 'no end'")); strings.TrimSuffix(out, "\n") != "no end" {
		r.Errorf("the log has %q", out)
	}
}

func reopenLog(r *rig) {
	id := r.launch(r.sh("n=0; while true; do n=$((n+1)); echo $n; sleep 0.01; done"))
	r.says(id, " 3\n")
	path := r.status(id).LogPath
	r.check(os.Rename(path, path+".old"))
	r.check(r.Runtime.ReopenContainerLog(r.ctx, id))
	old := r.entries(path + ".old")
	r.eventually("the new log grows", func() bool { return len(r.entries(path)) > 3 })
	if late := r.entries(path + ".old"); len(late) != len(old) {
		r.Errorf("the old log has grown by %d lines", len(late)-len(old))
	}
	for n, e := range append(old, r.entries(path)...) {
		if e.text != strconv.Itoa(n+1) {
			r.Fatalf("line %d is %q", n+1, e.text)
		}
	}
}

func reopenEnded(r *rig) {
	id := r.launch(r.command("true"))
	path := r.waitExit(id).LogPath
	r.check(os.Remove(path))
	if err := r.Runtime.ReopenContainerLog(r.ctx, id); err == nil {
		r.Error("it was opened")
	}
	if _, err := os.Stat(path); err == nil {
		r.Error("a new log was made")
	}
}
