package winrm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// shell is one remote shell with the connection that talks to it. It runs one command at a time.
type shell struct {
	link     *link
	messages messages
	id       string
	used     bool // has run a command before
}

func openShell(ctx context.Context, l *link, m messages) (*shell, error) {
	r, err := l.post(ctx, "create shell", m.openShell())
	if err != nil {
		return nil, err
	}
	id, err := r.shellID()
	if err != nil {
		return nil, l.fault("create shell", err)
	}
	return &shell{link: l, messages: m, id: id}, nil
}

// start starts a command and returns its id.
func (s *shell) start(ctx context.Context, line string) (string, error) {
	r, err := s.link.post(ctx, "start command", s.messages.startCommand(s.id, line))
	if err != nil {
		return "", err
	}
	id, err := r.commandID()
	if err != nil {
		return "", s.link.fault("start command", err)
	}
	return id, nil
}

// send writes all of input to the command's standard input, and its end.
func (s *shell) send(ctx context.Context, command string, input []byte) error {
	for {
		n := min(chunk, len(input))
		end := n == len(input)
		if err := s.sendChunk(ctx, command, input[:n], end); err != nil || end {
			return err
		}
		input = input[n:]
	}
}

const sendTries = 5

// sendChunk tries again where the server took nothing because the command has not read yet what came before.
func (s *shell) sendChunk(ctx context.Context, command string, input []byte, end bool) error {
	for try := 1; ; try++ {
		_, err := s.link.post(ctx, "send input", s.messages.sendInput(s.id, command, input, end))
		if !errors.Is(err, ErrBusy) || try == sendTries {
			return err
		}
		if err := pause(ctx, time.Duration(try)*time.Second); err != nil {
			return s.link.fault("send input", &Fault{Reason: err.Error(), cause: err})
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// receive passes on what the command writes until it ends, and returns its exit code. A server that has nothing to say
// answers with a fault after the operation timeout; it is asked again for as long as the context lasts,
// unless the command should have ended.
func (s *shell) receive(ctx context.Context, command string, ended bool, stdout, stderr io.Writer) (exitCode int, err error) {
	for {
		r, err := s.link.post(ctx, "receive output", s.messages.receiveOutput(s.id, command))
		var f *Fault
		if errors.As(err, &f) && f.Code == codeTimedOut && !ended {
			continue
		}
		if err != nil {
			return 0, err
		}
		if r.Body.Output == nil {
			return 0, s.link.fault("receive output", fmt.Errorf("the reply has no output: %.100q", r.Action))
		}
		done, code, err := r.Body.Output.read(stdout, stderr)
		if err != nil {
			return 0, s.link.fault("receive output", err)
		}
		if done {
			return code, nil
		}
	}
}

// end lets the server forget a command; one that still runs is terminated.
func (s *shell) end(ctx context.Context, command string) error {
	_, err := s.link.post(ctx, "end command", s.messages.terminate(s.id, command))
	if errors.Is(err, ErrUnknownShell) {
		return nil // it has forgotten already
	}
	return err
}

// delete ends the shell with everything that runs in it, and closes the connection. It can be repeated, and is, where the
// connection turns out to have been lost.
func (s *shell) delete(ctx context.Context) error {
	defer s.link.close()
	_, err := s.link.post(ctx, "delete shell", s.messages.deleteShell(s.id))
	if errors.Is(err, ErrUnreachable) {
		_, err = s.link.post(ctx, "delete shell", s.messages.deleteShell(s.id))
	}
	if errors.Is(err, ErrUnknownShell) {
		return nil
	}
	return err
}
