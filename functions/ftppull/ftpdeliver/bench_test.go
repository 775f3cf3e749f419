package ftpdeliver_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/masterzen/winrm"

	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpdeliver"
	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
)

// roundTrip is what a request to a server in another network takes. The loopback has none, and would hide what the number of
// requests costs.
const roundTrip = 10 * time.Millisecond

func slow(simwinrm.Request) { <-time.After(roundTrip) }

// BenchmarkStdin brings 20 MB over WinRM, and reports how much longer it would take the way of winrmcp: base64 by `echo` in commands
// of 8,000 characters, 15 to a shell. Of that way 1 MB is carried, and its time taken twenty times.
func BenchmarkStdin(b *testing.B) {
	const size, sample = 20 << 20, 1 << 20
	b.ReportAllocs()
	b.SetBytes(size)
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(rand.Uint32())
	}
	r := setup(b, ftpdeliver.Stdin, simwinrm.Options{OnRequest: slow})
	m := r.manifest(noon, map[string]string{"big.bin": string(content)})
	old := setup(b, ftpdeliver.Stdin, simwinrm.Options{HTTP: true, AllowUnencrypted: true, OnRequest: slow})
	var ours, theirs time.Duration
	for b.Loop() {
		begun := time.Now()
		if err := r.deliver(b.Context(), m); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(begun)
		b.StopTimer()
		if err := r.mim.Drive().RemoveAll(dated); err != nil {
			b.Fatal(err)
		}
		begun = time.Now()
		echo(b, old.mim, content[:sample])
		theirs += time.Since(begun) * (size / sample)
		b.StartTimer()
	}
	b.ReportMetric(float64(theirs)/float64(ours), "x-echo")
}

// echo writes a file as winrmcp does.
func echo(b *testing.B, server *simwinrm.Server, content []byte) {
	b.Helper()
	host, port, _ := strings.Cut(server.Addr(), ":")
	var number int
	fmt.Sscan(port, &number)
	client, err := winrm.NewClient(winrm.NewEndpoint(host, number, false, false, nil, nil, nil, time.Minute), "user", password)
	if err != nil {
		b.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString(content)
	const line, perShell = 8000 - len(`echo  >> "%TEMP%\winrmcp.tmp"`), 15
	for len(text) > 0 {
		shell, err := client.CreateShell()
		if err != nil {
			b.Fatal(err)
		}
		for range perShell {
			n := min(line, len(text))
			command, err := shell.ExecuteWithContext(context.Background(), `echo `+text[:n]+` >> "%TEMP%\winrmcp.tmp"`)
			if err != nil {
				b.Fatal(err)
			}
			command.Wait()
			if command.ExitCode() != 0 {
				b.Fatalf("exit code %d", command.ExitCode())
			}
			if err := command.Close(); err != nil {
				b.Fatal(err)
			}
			if text = text[n:]; text == "" {
				break
			}
		}
		if err := shell.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
