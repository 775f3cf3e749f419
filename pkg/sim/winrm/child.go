package simwinrm

import (
	"context"
	"fmt"
	"io"
)

// Run runs another command, as a child of the script does, and returns its exit code.
func (c *Call) Run(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) (exit uint32) {
	program, fault := c.server.programFor(line, false)
	if fault != nil {
		fmt.Fprintf(stderr, "cannot run %.100s\r\n", line)
		return 1
	}
	run := &Run{CommandLine: line, User: c.User}
	c.server.mu.Lock()
	c.server.runs = append(c.server.runs, run)
	c.server.mu.Unlock()
	return program(ctx, &Process{CommandLine: line, User: c.User, Stdin: stdin, Stdout: stdout, Stderr: stderr,
		server: c.server, run: run})
}
