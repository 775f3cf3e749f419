package ftp_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/ftp"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
	"github.com/nightshift-hq/nightshift/pkg/sim/ftpd"
)

func benchDial(b *testing.B, config ftp.Config) *ftp.Conn {
	b.Helper()
	c, err := ftp.Dial(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

func BenchmarkList2000(b *testing.B) {
	for _, mode := range []string{"MLSD", "LIST"} {
		b.Run(mode, func(b *testing.B) {
			s, config := startSim(b, simftp.Options{NoMLSD: mode == "LIST"})
			for i := range 2000 {
				if err := s.WriteFile(fmt.Sprintf("/in/employees-%04d.csv", i), nil, time.Time{}); err != nil {
					b.Fatal(err)
				}
			}
			c := benchDial(b, config)
			b.ReportAllocs()
			for b.Loop() {
				if entries, err := c.List(b.Context(), "in"); err != nil || len(entries) != 2000 {
					b.Fatal(len(entries), err)
				}
			}
		})
	}
}

// BenchmarkDownload256MB measures the client against a server in another process.
func BenchmarkDownload256MB(b *testing.B) {
	const size = 256 << 20
	for _, security := range []ftp.Security{ftp.Explicit, ftp.Cleartext} {
		b.Run(string(security), func(b *testing.B) {
			target := daemonTarget(b, ftpd.PureFTPd)
			if err := target.put("big.bin", make([]byte, size), time.Time{}); err != nil {
				b.Fatal(err)
			}
			target.config.Security = security
			c := benchDial(b, target.config)
			buf := make([]byte, 64<<10)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				r, err := c.Open(b.Context(), "big.bin", 0)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf)
				if closed := r.Close(); err != nil || closed != nil || n != size {
					b.Fatal(n, err, closed)
				}
			}
		})
	}
}

func BenchmarkSmallFiles(b *testing.B) {
	target := daemonTarget(b, ftpd.PureFTPd)
	if err := target.put("small.bin", make([]byte, 16<<10), time.Time{}); err != nil {
		b.Fatal(err)
	}
	for _, security := range []ftp.Security{ftp.Explicit, ftp.Cleartext} {
		b.Run(string(security), func(b *testing.B) {
			config := target.config
			config.Security = security
			c := benchDial(b, config)
			b.SetBytes(16 << 10)
			b.ReportAllocs()
			for b.Loop() {
				r, err := c.Open(b.Context(), "small.bin", 0)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, r); err != nil || n != 16<<10 {
					b.Fatal(n, err)
				}
				r.Close()
			}
		})
	}
}
