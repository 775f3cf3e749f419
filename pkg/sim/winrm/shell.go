package simwinrm

import (
	"context"
	"encoding/base64"
	"strings"
	"time"
)

// shell is what Create made; its commands die with it.
type shell struct {
	id, user, dir string
	idleTimeout   time.Duration
	env           map[string]string
	commands      map[string]*command
	started       int
	busy          int         // requests under way
	expiry        *time.Timer // runs while busy is 0
}

// create opens a shell.
func (s *Server) create(r *received) (string, *soapFault) {
	if r.envelope.Header.ResourceURI != cmdShell {
		f := faultFor(CodeActionUnsupported)
		return "", &f
	}
	body := r.envelope.Body.Shell
	made := &shell{id: newID(), user: r.user, dir: body.WorkingDirectory, idleTimeout: s.options.Limits.IdleTimeout,
		env: map[string]string{}, commands: map[string]*command{}}
	for _, v := range body.Environment {
		made.env[v.Name] = v.Value
	}
	if body.IdleTimeOut != "" {
		idle, err := parseDuration(body.IdleTimeOut)
		if err != nil {
			return "", faultPointer(CodeSchema)
		}
		made.idleTimeout = idle
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	open := 0
	for _, other := range s.shells {
		if other.user == r.user {
			open++
		}
	}
	if limit := s.options.Limits.ShellsPerUser; open >= limit {
		f := faultFor(CodeMaxShells).with(limit)
		return "", &f
	}
	s.shells[made.id] = made
	made.expiry = time.AfterFunc(made.idleTimeout, func() { s.expire(made) })
	r.shell = made.id
	return createReply(r.envelope, made, r.clientIP), nil
}

// shellOf finds the shell that a request names; others than its owner do not see it.
func (s *Server) shellOf(r *received) (*shell, *soapFault) {
	id := r.envelope.shellID()
	found := s.shells[id]
	if found == nil || found.user != r.user {
		f := unknownShell(id)
		return nil, &f
	}
	return found, nil
}

func (s *Server) commandOf(r *received, id string) (*command, *soapFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh, fault := s.shellOf(r)
	if fault != nil {
		return nil, fault
	}
	if c := sh.commands[id]; c != nil {
		return c, nil
	}
	return nil, faultPointer(CodeInvalidSelectors)
}

func (s *Server) delete(r *received) (string, *soapFault) {
	s.mu.Lock()
	sh, fault := s.shellOf(r)
	if fault == nil {
		delete(s.shells, sh.id)
	}
	s.mu.Unlock()
	if fault != nil {
		return "", fault
	}
	sh.end()
	return deleteReply(r.envelope), nil
}

// end ends what runs in a shell that the server has forgotten.
func (sh *shell) end() {
	sh.expiry.Stop()
	for _, c := range sh.commands {
		c.stop(true)
	}
}

// expire ends a shell that nobody has asked anything for its idle timeout.
func (s *Server) expire(sh *shell) {
	s.mu.Lock()
	idle := s.shells[sh.id] == sh && sh.busy == 0
	if idle {
		delete(s.shells, sh.id)
	}
	s.mu.Unlock()
	if idle {
		sh.end()
	}
}

// occupy keeps the shell of a request from expiring until release.
func (s *Server) occupy(r *received) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh, fault := s.shellOf(r)
	if fault != nil {
		return func() {}
	}
	sh.busy++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if sh.busy--; sh.busy == 0 && s.shells[sh.id] == sh {
			sh.expiry.Reset(sh.idleTimeout)
		}
	}
}

// start runs a command in a shell.
func (s *Server) start(r *received) (string, *soapFault) {
	line := r.envelope.Body.CommandLine.String()
	program, fault := s.programFor(line, r.envelope.option("WINRS_SKIP_CMD_SHELL"))
	if fault != nil {
		return "", fault
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sh, fault := s.shellOf(r)
	if fault != nil {
		return "", fault
	}
	if sh.started >= s.options.Limits.CommandsPerShell {
		return "", faultPointer(CodeMaxCommands)
	}
	if s.operations(r.user) >= s.options.Limits.OperationsPerUser {
		return "", faultPointer(CodeMaxOperations)
	}
	ctx, kill := context.WithCancel(s.life)
	c := newCommand(kill)
	if f := r.fault; f != nil && f.Kind == Exit {
		c.dieAfter(f.After, f.Code)
	}
	sh.commands[c.id], sh.started = c, sh.started+1
	r.command = c.id
	run := &Run{CommandLine: line, User: r.user}
	s.runs = append(s.runs, run)
	p := &Process{CommandLine: line, User: r.user, Dir: sh.dir, Env: sh.env, server: s, run: run}
	s.working.Add(1)
	s.running++
	go func() {
		defer s.processEnded()
		defer kill()
		c.run(ctx, program, p)
	}()
	return shellReply(r.envelope, "<rsp:CommandResponse><rsp:CommandId>"+c.id+"</rsp:CommandId></rsp:CommandResponse>"), nil
}

// operations counts what a user has open; s.mu is held. Windows counts a command until it is signalled or its shell goes.
func (s *Server) operations(user string) int {
	n := 0
	for _, sh := range s.shells {
		if sh.user == user {
			n += len(sh.commands)
		}
	}
	return n
}

func (s *Server) send(r *received) (string, *soapFault) {
	for _, stream := range r.envelope.Body.Streams {
		c, fault := s.commandOf(r, stream.CommandID)
		if fault != nil {
			return "", fault
		}
		r.command = c.id
		data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(stream.Data))
		if err != nil || stream.Name != "stdin" {
			return "", faultPointer(CodeSchema)
		}
		if c.ended() { // "Either the command has completed execution or ..." says this fault
			return "", faultPointer(CodeInvalidSelectors)
		}
		if !c.stdin.add(data, isTrue(stream.End)) {
			return "", faultPointer(CodePipeClosing)
		}
	}
	return shellReply(r.envelope, "<rsp:SendResponse/>"), nil
}

func (s *Server) receive(ctx context.Context, r *received) (string, *soapFault) {
	c, fault := s.commandOf(r, r.envelope.Body.Desired.CommandID)
	if fault != nil {
		return "", fault
	}
	r.command = c.id
	timeout := s.options.Limits.OperationTimeout
	if asked := r.envelope.Header.OperationTimeout; asked != "" {
		d, err := parseDuration(asked)
		if err != nil {
			return "", faultPointer(CodeSchema)
		}
		timeout = min(timeout, d)
	}
	sh := shape{room: s.options.Limits.EnvelopeSize, piece: s.options.ChunkSize, pieces: s.options.ChunksPerReply}
	if asked := r.envelope.Header.MaxEnvelopeSize; asked > 0 {
		sh.room = min(sh.room, max(asked, smallestEnvelope))
	}
	sh.room -= envelopeOverhead
	if f := r.fault; f != nil {
		sh.late, sh.twice = f.Kind == Late, f.Kind == Twice
	}
	chunks, exit, fault := c.wait(ctx, timeout, sh)
	if fault != nil {
		return "", fault
	}
	return receiveReply(r.envelope, chunks, exit), nil
}

// smallestEnvelope is the least that a client may be able to take.
const smallestEnvelope = 8192

// envelopeOverhead is a ReceiveResponse without its streams.
const envelopeOverhead = 2048

func (s *Server) signal(r *received) (string, *soapFault) {
	body := r.envelope.Body.Signal
	c, fault := s.commandOf(r, body.CommandID)
	if fault != nil {
		return "", fault
	}
	r.command = c.id
	code, over := strings.TrimSpace(body.Code), c.ended()
	switch code {
	case signalNS + "ctrl_c", signalNS + "ctrl_break":
		c.stop(false)
	case signalNS + "terminate":
		c.stop(true)
	default:
		return "", faultPointer(CodeSchema)
	}
	if over || code == signalNS+"terminate" {
		s.mu.Lock()
		defer s.mu.Unlock()
		if sh, fault := s.shellOf(r); fault == nil {
			delete(sh.commands, c.id)
		}
	}
	return shellReply(r.envelope, "<rsp:SignalResponse/>"), nil
}
