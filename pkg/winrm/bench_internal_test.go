package winrm

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/settings"
	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
)

func benchServer(b *testing.B) (*simwinrm.Server, *Client) {
	s, err := simwinrm.Start(simwinrm.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Stop)
	c, err := New(Config{Server: s.URL(), Username: "user", Password: settings.NewSecret("password"), Pin: s.Pin()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(context.Background()) })
	return s, c
}

// BenchmarkRun runs a small script in a shell that is there.
func BenchmarkRun(b *testing.B) {
	s, c := benchServer(b)
	script := Script{Name: "x.ps1", Text: "1"}
	s.Emulate(script.Name, simwinrm.Hash(script.Text), func(_ context.Context, c *simwinrm.Call) error { return c.Result(1) })
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Run(b.Context(), script, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDeliver compares two ways to put a file on a server that cannot fetch it itself: parts of 4 MB as input of a script, and
// what winrmcp does, `echo` in commands of 8,000 characters, fifteen to a shell (512 kB here; it is linear, and slow).
func BenchmarkDeliver(b *testing.B) {
	b.Run("input-20MB", func(b *testing.B) {
		s, c := benchServer(b)
		script := Script{Name: "deliver.ps1", Text: "[CmdletBinding()] param([string]$Data)"}
		s.Emulate(script.Name, simwinrm.Hash(script.Text), func(_ context.Context, c *simwinrm.Call) error {
			var p struct{ Data []byte }
			if err := json.Unmarshal(c.Params, &p); err != nil {
				return err
			}
			if err := c.Drive.WriteFile(`C:\Drop\file.part`, p.Data); err != nil {
				return err
			}
			return c.Result(len(p.Data))
		})
		const size, part = 20 << 20, 4 << 20
		data := bytes.Repeat([]byte("0123456789abcdef;;4711;x\r\n"), part/26)
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			for range size / part {
				if _, err := c.Run(b.Context(), script, map[string]any{"Data": data}, nil); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("winrmcp-512kB", func(b *testing.B) {
		_, c := benchServer(b)
		const size = 512 << 10
		data := make([]byte, size)
		b.SetBytes(size)
		for b.Loop() {
			if err := winrmcp(b.Context(), c, data); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func winrmcp(ctx context.Context, c *Client, data []byte) error {
	text := base64.StdEncoding.EncodeToString(data)
	for text != "" {
		l := &link{cfg: c.cfg, endpoint: c.endpoint, tls: c.tls}
		s, err := openShell(ctx, l, c.messages)
		if err != nil {
			return err
		}
		for range 15 {
			n := min(8000-len(`echo  >> "%TEMP%\winrmcp.tmp"`), len(text))
			line := "echo " + text[:n] + ` &gt;&gt; "%TEMP%\winrmcp.tmp"`
			id, err := s.start(ctx, line)
			if err != nil {
				return err
			}
			if _, err := s.receive(ctx, id, false, io.Discard, os.Stderr); err != nil {
				return err
			}
			if err := s.end(ctx, id); err != nil {
				return err
			}
			if text = text[n:]; text == "" {
				break
			}
		}
		if err := s.delete(ctx); err != nil {
			return err
		}
	}
	return nil
}
