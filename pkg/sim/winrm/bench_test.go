package simwinrm_test

import (
	"context"
	"io"
	"strings"
	"testing"

	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
)

// BenchmarkRun is one command in an open shell: Command, Receive, Signal.
func BenchmarkRun(b *testing.B) {
	s := start(b, simwinrm.Options{Limits: simwinrm.Limits{CommandsPerShell: 1 << 30}})
	c := connect(b, s)
	shell := c.shell()
	b.ReportAllocs()
	for b.Loop() {
		command := c.begin(shell, "echo x")
		c.finish(shell, command)
		c.signal(shell, command, "terminate")
	}
}

// BenchmarkInput is what a client can send to a command's stdin.
func BenchmarkInput(b *testing.B) {
	s := start(b, simwinrm.Options{})
	s.Program("swallow", func(_ context.Context, p *simwinrm.Process) uint32 {
		io.Copy(io.Discard, p.Stdin)
		return 0
	})
	c := connect(b, s)
	shell := c.shell()
	command := c.begin(shell, "swallow")
	data := strings.Repeat("x", 300_000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		c.send(shell, command, data, "false")
	}
}
