package node

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Limits of a container's last words (KEP-free API fields terminationMessagePath and terminationMessagePolicy).
const (
	mostMessage  = 4096
	mostLogBytes = 2048
	mostLogLines = 80
)

// endMessage is what a container said as it ended: in its message file, else, if it asks for that and has failed, in
// the last lines of its log.
func (w *worker) endMessage(pod *corev1.Pod, c *corev1.Container, i *instance) string {
	if i.Message != "" { // it never began
		return i.Message
	}
	path := filepath.Join(w.node.podDir(pod), "containers", c.Name, strconv.Itoa(int(i.attempt())))
	said := readAtMost(path, mostMessage)
	if said == "" && before(pod, c.Name, i) != "" {
		return before(pod, c.Name, i)
	}
	if said == "" && c.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError && i.ExitCode != 0 {
		return lastWords(i.LogPath)
	}
	return said
}

// before is the message that the API has of this end; the file goes with the pod's volumes.
func before(pod *corev1.Pod, name string, i *instance) string {
	status := statusOf(pod, name)
	if status == nil {
		return ""
	}
	for _, t := range []*corev1.ContainerStateTerminated{status.State.Terminated, status.LastTerminationState.Terminated} {
		if t != nil && t.ContainerID == containerID(i.Id) {
			return t.Message
		}
	}
	return ""
}

// readAtMost reads the beginning of an ordinary file; a container may have put anything there.
func readAtMost(path string, limit int64) string {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(string(data), "")
}

// lastWords are the last lines of a log, without the times and streams that its lines begin with.
func lastWords(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	tail := make([]byte, min(info.Size(), 16<<10))
	if _, err := f.ReadAt(tail, info.Size()-int64(len(tail))); err != nil && err != io.EOF {
		return ""
	}
	lines := bytes.Split(bytes.TrimSuffix(tail, []byte("\n")), []byte("\n"))
	var said []byte
	for _, line := range lines[max(0, len(lines)-mostLogLines):] {
		if fields := bytes.SplitN(line, []byte(" "), 4); len(fields) == 4 && len(fields[2]) > 0 {
			said = append(said, fields[3]...)
			if fields[2][0] == 'F' {
				said = append(said, '\n')
			}
		}
	}
	return strings.ToValidUTF8(string(said[max(0, len(said)-mostLogBytes):]), "")
}
