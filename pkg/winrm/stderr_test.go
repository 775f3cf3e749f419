package winrm_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// TestNoResult: a PowerShell that ends without a message of the bootstrap. What it wrote to standard error is told, decoded,
// without the script.
func TestNoResult(t *testing.T) {
	t.Parallel()
	const clixml = "#< CLIXML\r\n<Objs Version=\"1.1.0.1\" xmlns=\"http://schemas.microsoft.com/powershell/2004/04\">" +
		"<S S=\"Error\">'" + inScript + "' : out of memory_x000D__x000A_</S><S S=\"Error\">At line:3 char:1_x000D__x000A_</S>" +
		"<S S=\"Error\">+ '" + inScript + "'_x000D__x000A_</S><S S=\"Error\">    + CategoryInfo          : x_x000D__x000A_</S></Objs>"
	for name, exit := range map[string]uint32{"exit code 0": 0, "exit code 1": 1, "exit code -1": 1<<32 - 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, cfg := start(t, simwinrm.Options{ChunkSize: 100}, copies)
			s.Program("powershell", func(_ context.Context, p *simwinrm.Process) uint32 {
				io.Copy(io.Discard, p.Stdin)
				io.WriteString(p.Stdout, "last words "+token+"\r\n")
				io.WriteString(p.Stderr, clixml)
				return exit
			})
			c := connect(t, s, cfg)
			_, err := c.Run(within(t), script, params, nil)
			var ended *winrm.NoResultError
			if !errors.Is(err, winrm.ErrNoResult) || !errors.As(err, &ended) || ended.ExitCode != int(int32(exit)) ||
				ended.Stderr != "out of memory (line 3)" || ended.Output != "last words [redacted]" {
				t.Errorf("error %v", err)
			}
			silent(t, "error", err.Error())
			if !strings.Contains(err.Error(), name) {
				t.Errorf("error %v", err)
			}
		})
	}
}
