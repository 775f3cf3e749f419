package localhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one run of the handler.
type process struct {
	cmd    *exec.Cmd
	wire   *wire
	exited chan struct{}
	code   int // valid once exited is closed; 128+n after signal n
	stderr lastLines
}

// startProcess runs the handler with no standard input and its output sent to log, line by line.
func startProcess(c hostConfig, environ []string, address string, log *slog.Logger) (*process, error) {
	p := &process{wire: &wire{address: address}, exited: make(chan struct{})}
	stdout := &lineWriter{line: func(line string) { logLine(log, line, slog.LevelInfo) }}
	stderr := &lineWriter{line: func(line string) {
		p.stderr.add(line)
		logLine(log, line, stderrLevel(line))
	}}
	p.cmd = exec.Command(c.exe, c.args...)
	p.cmd.Dir, p.cmd.Env = c.workDir, environ
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	// A grandchild that keeps the pipes open must not hide the handler's end.
	p.cmd.WaitDelay = time.Second
	bindToParent(p.cmd)
	started := make(chan error, 1)
	go func() {
		// Linux kills the child when the thread that started it ends: this one lives until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		if err == nil {
			err = adopt(p.cmd)
		}
		started <- err
		if p.cmd.Process == nil {
			return
		}
		if err != nil {
			p.cmd.Process.Kill()
		}
		p.cmd.Wait()
		stdout.flush()
		stderr.flush()
		p.code = exitCode(p.cmd.ProcessState)
		p.wire.close()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, startError(c, err)
	}
	return p, nil
}

// startError says what to do about a handler that cannot be started.
func startError(c hostConfig, err error) error {
	hint := "is it in the app root or on PATH?"
	switch {
	case errors.Is(err, fs.ErrPermission):
		hint = "it is not executable: chmod +x it"
	case errors.Is(err, syscall.ENOEXEC):
		hint = "it is not a program for this machine: build it for " + runtime.GOOS + "/" + runtime.GOARCH
	}
	return fmt.Errorf("cannot start the handler %q in %s (%s): %w", c.exe, c.workDir, hint, err)
}

func exitCode(s *os.ProcessState) int {
	if s == nil {
		return -1
	}
	if status, ok := s.Sys().(syscall.WaitStatus); ok && s.ExitCode() < 0 && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return s.ExitCode()
}

// kill ends the handler and what is left of its process group.
func (p *process) kill() {
	if !exited(p) { // else its number may be somebody else's by now
		killAll(p.cmd.Process)
	}
	<-p.exited
}

// stop asks the handler to end and kills it after grace.
func (p *process) stop(grace time.Duration) {
	if err := terminate(p.cmd.Process); err == nil {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-p.exited:
			return
		case <-timer.C:
		}
	}
	p.kill()
}

// stderrLevel is how the host reads standard error.
func stderrLevel(line string) slog.Level {
	if strings.Contains(strings.ToLower(line), "warn") {
		return slog.LevelWarn
	}
	return slog.LevelError
}

// logLine logs a line of the handler's output. A prefix that the host keeps for its own workers hides a line from users.
func logLine(log *slog.Logger, line string, level slog.Level) {
	if strings.HasPrefix(line, "LanguageWorkerConsoleLog") {
		level = slog.LevelDebug
	}
	log.Log(context.Background(), level, line, "category", "Host.Function.Console")
}

// maxLine bounds a line of output; what is longer is cut in pieces.
const maxLine = 1 << 20

// lineWriter calls line for each line written to it.
type lineWriter struct {
	line    func(string)
	pending []byte
}

func (w *lineWriter) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			w.pending = append(w.pending, b...)
			if len(w.pending) >= maxLine {
				w.flush()
			}
			break
		}
		w.pending = append(w.pending, b[:i]...)
		b = b[i+1:]
		w.emit()
	}
	return n, nil
}

func (w *lineWriter) emit() {
	w.line(strings.TrimSuffix(string(w.pending), "\r"))
	w.pending = w.pending[:0]
}

// flush emits an unfinished line.
func (w *lineWriter) flush() {
	if len(w.pending) > 0 {
		w.emit()
	}
}

// lastLines keeps the last three lines, for the report of an exit.
type lastLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *lastLines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines = append(l.lines, line); len(l.lines) > 3 {
		l.lines = l.lines[1:]
	}
}

func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, " | ")
}
