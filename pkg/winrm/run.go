package winrm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

// The bootstrap's exit codes.
const (
	exitOK      = 0
	exitPartial = 10
)

// longestStderr bounds what is kept of standard error.
const longestStderr = 1 << 20

// shortestLine is from where on a line that stands in the script is taken for a quotation.
const shortestLine = 8

// ScriptError is what a script threw, or the bootstrap for it.
type ScriptError struct {
	Script  string
	Message string
	Type    string // .NET type of the exception
	Line    int    // of the script; 0 if not known
	Stack   string // frames of the script, one a line
	ID      string // what the script passed to Stop-Script, or PowerShell's own id
}

func (e *ScriptError) Error() string {
	where := e.Script
	if e.Line > 0 {
		where += " line " + strconv.Itoa(e.Line)
	}
	text := where + ": " + e.Message
	if e.ID != "" && e.ID != e.Message {
		text += " (" + e.ID + ")"
	}
	return text
}

// NoResultError is a script that ended without a result or an error of its own. It is ErrNoResult.
type NoResultError struct {
	ExitCode int
	Stderr   string // what it wrote there, decoded
	Output   string // the last lines it printed
}

func (e *NoResultError) Error() string {
	text := fmt.Sprintf("%s: it ended with exit code %d", ErrNoResult, e.ExitCode)
	if e.Stderr != "" {
		text += " and wrote: " + e.Stderr
	}
	if e.Output != "" {
		text += "; it printed last: " + e.Output
	}
	return text
}

func (e *NoResultError) Unwrap() error { return ErrNoResult }

// run is one script on its way.
type run struct {
	script   Script
	task     *task
	on       func(Event)
	out      *frames
	stderr   bounded
	exitCode int
}

func newRun(script Script, t *task, on func(Event)) *run {
	r := &run{script: script, task: t, on: on}
	r.out = newFrames(t.nonce, r.clean, on)
	return r
}

func (r *run) clean(text string) string { return settings.RedactText(text, r.task.secrets) }

// drive sends the script and reads what it says until it ends.
func (r *run) drive(ctx context.Context, s *shell, command string) error {
	sent := s.send(ctx, command, r.task.input)
	if sent != nil && !errors.Is(sent, ErrUnknownShell) {
		return sent
	}
	// A command that ended before it read anything is unknown to Send; its output and exit code may still be there.
	code, err := s.receive(ctx, command, sent != nil, r.out, &r.stderr)
	if err != nil {
		if sent != nil {
			return sent
		}
		return err
	}
	r.exitCode = code
	return r.out.end()
}

// outcome decides what the run came to.
func (r *run) outcome() (json.RawMessage, error) {
	records := decodeCLIXML(r.stderr.data)
	for i := range records {
		records[i].text = r.withoutScript(records[i].text)
	}
	if failure := r.out.failure; failure != nil {
		return nil, r.scriptError(failure)
	}
	if r.out.result == nil || r.exitCode != exitOK && r.exitCode != exitPartial {
		return nil, &NoResultError{ExitCode: r.exitCode, Stderr: r.clean(textOf(records)), Output: r.clean(r.out.tail.String())}
	}
	for _, record := range records {
		r.out.tell(Event{Type: "log", Level: record.level(), Message: record.text})
	}
	return r.out.result, nil
}

// withoutScript drops lines of the script: Write-Error begins its message with the text of what called it.
func (r *run) withoutScript(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		bare := strings.TrimSpace(line)
		if before, after, ok := strings.Cut(bare, " : "); ok && r.isScript(before) {
			bare = after
		}
		if !r.isScript(bare) {
			kept = append(kept, bare)
		}
	}
	return strings.Join(kept, "\n")
}

// isScript tells whether text stands in the script; words are too short to tell.
func (r *run) isScript(text string) bool {
	return len(text) >= shortestLine && strings.Contains(r.script.Text, text)
}

func (r *run) scriptError(f *frame) *ScriptError {
	e := &ScriptError{Script: r.script.Name, Message: r.clean(strings.TrimSpace(f.Message)), Type: f.ErrorType,
		Stack: r.clean(ownFrames(f.Stack)), ID: r.clean(f.ID)}
	if f.File == r.script.Name {
		e.Line = f.Line
	}
	if line, ok := lineIn(f.Stack, r.script.Name); ok {
		e.Line = line
	}
	return e
}

// noFile matches a frame outside of files: "at <ScriptBlock>, <No file>: line 40", in the server's language.
var noFile = regexp.MustCompile(`, <[^>]*>: [^:]*\d+$`)

// ownFrames drops those of the bootstrap, which stand last and have no file.
func ownFrames(stack string) string {
	var own []string
	for line := range strings.Lines(stack) {
		if line = strings.TrimSpace(line); line != "" && !noFile.MatchString(line) {
			own = append(own, line)
		}
	}
	return strings.Join(own, "\n")
}

var stackFrame = regexp.MustCompile(`, ([^,\r\n]+): [^:\r\n]*?(\d+)\r?$`)

// lineIn finds the line of the innermost frame in the script. Errors that a function of the bootstrap throws, and those of
// Write-Error, have the right line nowhere else. The word before the number is in the server's language.
func lineIn(stack, script string) (int, bool) {
	for line := range strings.Lines(stack) {
		m := stackFrame.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil || m[1] != script {
			continue
		}
		n, err := strconv.Atoi(m[2])
		return n, err == nil
	}
	return 0, false
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ data []byte }

func (b *bounded) Write(p []byte) (int, error) {
	b.data = append(b.data, p[:min(len(p), longestStderr-len(b.data))]...)
	return len(p), nil
}
