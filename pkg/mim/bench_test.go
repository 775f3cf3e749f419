package mim_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/mim"
	simmim "github.com/nightshift-hq/nightshift/pkg/sim/mim"
)

// nights are two backups, as zips, of an installation with that many management agents of 1 MB and a small portal.
func nights(b *testing.B, agents int) [2][]byte {
	b.Helper()
	in := simmim.New(simmim.Options{Seed: 1, Agents: agents, AgentBytes: 1 << 20, PortalSize: 100})
	before := zipped(b, in.ServerExport())
	if _, err := in.Night(in.Mutations()[:3]...); err != nil {
		b.Fatal(err)
	}
	return [2][]byte{before, zipped(b, in.ServerExport())}
}

func zipped(b *testing.B, files map[string][]byte) []byte {
	b.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for name, content := range files {
		w, err := z.Create("ServerExport/" + name)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			b.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

// compareZips is what mimverify does: read both, compare, write the report.
func compareZips(b *testing.B, archives [2][]byte) mim.Report {
	b.Helper()
	var sides [2]*mim.Backup
	for i, archive := range archives {
		z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
		if err != nil {
			b.Fatal(err)
		}
		if sides[i], err = mim.ReadBackup(z); err != nil {
			b.Fatal(err)
		}
	}
	report, err := mim.Compare(context.Background(), sides[0], sides[1])
	if err != nil {
		b.Fatal(err)
	}
	if _, err := report.HTML(); err != nil {
		b.Fatal(err)
	}
	return report
}

// BenchmarkDrift must stay under 2 s and 64 MiB for 50 agents, and grow linearly: MB/s is the same for all sizes.
// heap-MiB is the largest heap seen above what the archives themselves take.
func BenchmarkDrift(b *testing.B) {
	for _, agents := range []int{10, 50, 100} {
		b.Run(fmt.Sprintf("%d agents of 1 MB", agents), func(b *testing.B) {
			archives := nights(b, agents)
			runtime.GC()
			var start runtime.MemStats
			runtime.ReadMemStats(&start)
			peak, stop := watchHeap()
			b.SetBytes(int64(agents) * 2 << 20)
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				if report := compareZips(b, archives); len(report.Changes) != 3 {
					b.Fatalf("%d changes", len(report.Changes))
				}
			}
			stop()
			b.ReportMetric(float64(peak.Load()-int64(start.HeapAlloc))/(1<<20), "heap-MiB")
		})
	}
}

// watchHeap samples the heap until stop is called.
func watchHeap() (peak *atomic.Int64, stop func()) {
	peak = &atomic.Int64{}
	done, ended := make(chan struct{}), make(chan struct{})
	ticker := time.NewTicker(5 * time.Millisecond)
	go func() {
		defer close(ended)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), int64(m.HeapAlloc)))
			case <-done:
				return
			}
		}
	}()
	return peak, func() { close(done); <-ended }
}

func BenchmarkVerify(b *testing.B) {
	in := simmim.New(simmim.Options{Seed: 1})
	all := files{}
	for name, content := range in.Files() {
		all[name] = string(content)
	}
	m := manifestOf(all)
	archive := zipOf(b, all)
	b.SetBytes(sizeOf(m))
	b.ReportAllocs()
	for b.Loop() {
		if problems := verify(b, archive, m, mim.DefaultLimits); len(problems) != 0 {
			b.Fatal(problems)
		}
	}
}

func sizeOf(m mim.Manifest) int64 {
	var n int64
	for f := range slices.Values(m.Files()) {
		n += f.Size
	}
	return n
}

func BenchmarkRetention(b *testing.B) {
	var runs []mim.Run
	for day := range 3650 {
		runs = append(runs, mim.Run{Time: time.Date(2020, 1, day, 23, 30, 0, 0, time.UTC), Verified: day%7 != 0})
	}
	b.ReportAllocs()
	for b.Loop() {
		mim.Retention{Days: 14, Weeks: 8, Months: 24}.Plan(runs)
	}
}
