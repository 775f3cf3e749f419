package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// tally is how far a night has come.
type tally struct {
	files, bytes               int64 // stored
	plannedFiles, plannedBytes int64 // handed on by the scan
}

// progress shows a tally as it grows.
type progress interface {
	show(tally)
	end()
}

// newProgress draws bars on a terminal and writes plain lines anywhere else.
func newProgress(out io.Writer) progress {
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return newBars(f)
	}
	return &lines{out: out}
}

type bars struct {
	container    *mpb.Progress
	files, bytes *mpb.Bar
}

func newBars(out io.Writer) *bars {
	container := mpb.New(mpb.WithOutput(out), mpb.WithWidth(50), mpb.WithAutoRefresh())
	return &bars{
		container: container,
		files: container.AddBar(0, mpb.PrependDecorators(decor.Name("  files  ")),
			mpb.AppendDecorators(decor.CountersNoUnit("%d / %d"))),
		bytes: container.AddBar(0, mpb.PrependDecorators(decor.Name("  bytes  ")),
			mpb.AppendDecorators(decor.Counters(decor.SizeB1000(0), "% .1f / % .1f"))),
	}
}

func (b *bars) show(t tally) {
	b.files.SetTotal(t.plannedFiles, false)
	b.files.SetCurrent(t.files)
	b.bytes.SetTotal(t.plannedBytes, false)
	b.bytes.SetCurrent(t.bytes)
}

func (b *bars) end() {
	b.files.Abort(false)
	b.bytes.Abort(false)
	b.container.Wait()
}

// lines writes a line when something has changed, at most one in two seconds, and the last one.
type lines struct {
	out        io.Writer
	last, told tally
	written    time.Time
}

func (l *lines) show(t tally) {
	l.last = t
	if time.Since(l.written) >= 2*time.Second {
		l.write()
	}
}

func (l *lines) end() { l.write() }

func (l *lines) write() {
	if l.last == l.told {
		return
	}
	l.told, l.written = l.last, time.Now()
	fmt.Fprintf(l.out, "  %d of %d files, %s of %s\n", l.last.files, l.last.plannedFiles, megabytes(l.last.bytes), megabytes(l.last.plannedBytes))
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
