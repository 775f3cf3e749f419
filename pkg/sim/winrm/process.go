package simwinrm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Process is a command that runs in a shell.
type Process struct {
	CommandLine string
	User        string
	Dir         string            // as the client wrote it; empty means the profile of the user
	Env         map[string]string // of the shell
	Stdin       io.Reader         // ends when the client says so, or when the process is killed
	Stdout      io.Writer
	Stderr      io.Writer

	server *Server
	run    *Run
}

// Program runs a command and returns its exit code. It must return soon after ctx ends.
type Program func(ctx context.Context, p *Process) (exit uint32)

// Run is a command that was started, with what it was given; what of it is empty is not known yet.
type Run struct {
	CommandLine string
	User        string
	Name        string // of the script
	Script      string
	Params      json.RawMessage
}

// Runs returns every command started so far.
func (s *Server) Runs() []Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	runs := make([]Run, len(s.runs))
	for i, r := range s.runs {
		runs[i] = *r
	}
	return runs
}

// Program gives the server an executable, such as "hostname"; the name is compared without case and .exe. It stands before
// those that the server has: cmd, hostname, whoami and powershell.
func (s *Server) Program(name string, run Program) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.programs[executable(name)] = run
}

// executable is the name of the program that a command line starts.
func executable(line string) string {
	name := strings.TrimSpace(line)
	if quoted, ok := strings.CutPrefix(name, `"`); ok {
		name, _, _ = strings.Cut(quoted, `"`)
	} else {
		name, _, _ = strings.Cut(name, " ")
	}
	name = strings.ToLower(name[strings.LastIndexAny(name, `\/`)+1:])
	return strings.TrimSuffix(name, ".exe")
}

// arguments is the rest of a command line.
func arguments(line string) string {
	line = strings.TrimSpace(line)
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		_, rest, _ := strings.Cut(quoted, `"`)
		return strings.TrimSpace(rest)
	}
	_, rest, _ := strings.Cut(line, " ")
	return strings.TrimSpace(rest)
}

// programFor finds what a command line runs. Without skipCmd it goes through cmd.exe, with its limit and its messages.
func (s *Server) programFor(line string, skipCmd bool) (Program, *soapFault) {
	length := len(encode16(line)) / 2
	if length > maxProcessLine {
		return nil, faultPointer(CodeTooLong)
	}
	if !skipCmd && length > s.options.Limits.CommandLine {
		return s.tooLong, nil
	}
	name := executable(line)
	s.mu.Lock()
	defer s.mu.Unlock()
	if program := s.programs[name]; program != nil {
		return program, nil
	}
	switch {
	case name == "powershell" && s.options.PowerShell != "":
		return s.realPowerShell, nil
	case name == "powershell":
		return s.emulatedPowerShell, nil
	case name == "cmd":
		return s.cmd, nil
	case skipCmd && name != "hostname" && name != "whoami":
		return nil, faultPointer(CodeFileNotFound)
	}
	return s.cmd, nil
}

func (s *Server) tooLong(_ context.Context, p *Process) uint32 {
	if s.options.SilentTooLong {
		return 0
	}
	io.WriteString(p.Stderr, "The command line is too long.\r\n")
	return 1
}

// realPowerShell hands the command to the PowerShell that the options name.
func (s *Server) realPowerShell(ctx context.Context, p *Process) uint32 {
	c := exec.CommandContext(ctx, s.options.PowerShell, strings.Fields(arguments(p.CommandLine))...)
	c.Dir = s.options.Dir
	c.Env = os.Environ()
	for name, value := range p.Env {
		c.Env = append(c.Env, name+"="+value)
	}
	if s.options.ModulePath != "" {
		c.Env = append(c.Env, "PSModulePath="+s.options.ModulePath)
	}
	c.Stdout, c.Stderr = p.Stdout, p.Stderr
	c.WaitDelay = 5 * time.Second // children that it leaves behind keep the pipes open
	stdin, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		fmt.Fprintf(p.Stderr, "%v\r\n", err)
		return 1
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		io.Copy(stdin, p.Stdin) // a process may end without having read everything
		stdin.Close()
	}()
	c.Wait()
	if in, ok := p.Stdin.(*input); ok {
		in.close(io.ErrClosedPipe)
	}
	<-fed
	return uint32(c.ProcessState.ExitCode())
}

// cmd is the little of cmd.exe that remote clients use: echo with redirection, exit, hostname, whoami.
func (s *Server) cmd(_ context.Context, p *Process) uint32 {
	line := p.CommandLine
	if executable(line) == "cmd" {
		line = arguments(line)
		if len(line) >= 2 && strings.EqualFold(line[:2], "/c") {
			line = strings.TrimSpace(line[2:])
		}
	}
	rest := arguments(line)
	switch name := executable(line); name {
	case "echo":
		return s.echo(p, rest)
	case "exit":
		var code uint32
		fmt.Sscan(strings.TrimPrefix(rest, "/b "), &code)
		return code
	case "hostname":
		io.WriteString(p.Stdout, s.options.Computer+"\r\n")
	case "whoami":
		io.WriteString(p.Stdout, strings.ToLower(s.options.Computer+`\`+p.User)+"\r\n")
	default:
		fmt.Fprintf(p.Stderr, "'%s' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n",
			strings.Fields(line + " ")[0])
		return 1
	}
	return 0
}

// echo writes its text to stdout or, with > or >>, to a file.
func (s *Server) echo(p *Process, text string) uint32 {
	text, file, redirected := strings.Cut(text, ">")
	if !redirected {
		io.WriteString(p.Stdout, text+"\r\n")
		return 0
	}
	file, appending := strings.CutPrefix(file, ">")
	file = strings.Trim(strings.TrimSpace(file), `"`)
	file = strings.ReplaceAll(file, "%TEMP%", `C:\Temp`)
	if err := s.redirect(file, text+"\r\n", appending); err != nil {
		fmt.Fprintf(p.Stderr, "%v\r\n", err)
		return 1
	}
	return 0
}

func (s *Server) redirect(file, text string, appending bool) error {
	if err := s.drive.MkdirAll(file[:max(strings.LastIndex(file, `\`), 0)]); err != nil {
		return err
	}
	open := s.drive.Create
	if appending {
		open = s.drive.Append
	}
	f, err := open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.WriteString(f, text)
	return err
}

// FindPowerShell looks for a real PowerShell: the path given, else pwsh on the PATH; empty when there is none.
func FindPowerShell(path string) string {
	if path == "" {
		path = "pwsh"
	}
	found, err := exec.LookPath(path)
	if err != nil {
		return ""
	}
	if absolute, err := filepath.Abs(found); err == nil {
		return absolute
	}
	return found
}
