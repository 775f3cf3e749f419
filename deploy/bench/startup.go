package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/nightshift-hq/nightshift/deploy/pack"
)

// bench holds what the sections share.
type bench struct {
	root, dir string // the repository; a folder of our own for the run
	app       string // the packed app's root
	bare      string // the bare server's binary
	idle      string // the binary of a handler whose function does nothing
}

// prepare builds everything that is measured. It runs in the repository.
func prepare(ctx context.Context) (*bench, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the repository: %w", err)
	}
	dir, err := os.MkdirTemp("", "nightshift-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the run: %w", err)
	}
	b := &bench{root: root, dir: dir, bare: filepath.Join(dir, "bare"), idle: filepath.Join(dir, "idle", "handler")}
	packages, err := pack.Build(ctx, pack.Options{Root: root, Out: dir, Apps: []string{"ftppull"}, OS: runtime.GOOS, Arch: runtime.GOARCH})
	if err != nil {
		b.close()
		return nil, err
	}
	b.app = packages[0].Dir
	if err := b.idleRoot(); err != nil {
		b.close()
		return nil, err
	}
	for binary, pkg := range map[string]string{b.bare: "./deploy/bench/bare", b.idle: "./deploy/bench/idle"} {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, pkg)
		build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			b.close()
			return nil, fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	return b, nil
}

// idleRoot makes an app root for the handler that does nothing.
func (b *bench) idleRoot() error {
	root := filepath.Dir(b.idle)
	host, err := os.ReadFile(filepath.Join(b.root, "host.json"))
	if err != nil {
		return fmt.Errorf("read host.json: %w", err)
	}
	files := map[string]string{
		"host.json":            string(host),
		"idle/function.json":   `{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":"0 0 0 1 1 *"}]}`,
		"invoke/function.json": `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req"},{"type":"http","direction":"out","name":"res"}]}`,
		"check/function.json":  `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req"},{"type":"http","direction":"out","name":"res"}]}`,
	}
	for name, content := range files {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("make the idle app: %w", err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return fmt.Errorf("make the idle app: %w", err)
		}
	}
	return nil
}

func (b *bench) close() { os.RemoveAll(b.dir) }

const coldStarts = 21

// startup compares the time from process start to the first answered probe, in turns.
func (b *bench) startup(ctx context.Context) ([]row, error) {
	var ours, bare []time.Duration
	for range coldStarts {
		for binary, times := range map[string]*[]time.Duration{filepath.Join(b.app, "handler"): &ours, b.bare: &bare} {
			p, err := start(ctx, binary, b.app, nil)
			if err != nil {
				return nil, err
			}
			*times = append(*times, p.took)
			p.stop()
		}
	}
	return []row{{
		what: "cold start", measured: ratio(median(ours), median(bare)), limit: 2, unit: "x",
		detail: fmt.Sprintf("ftppull %v, bare net/http %v (medians of %d)", median(ours), median(bare), coldStarts),
	}}, nil
}

const (
	rounds      = 15
	invocations = 400 // a round
)

// invocations compares what one invocation of a function that does nothing costs, in turns of some hundred.
func (b *bench) invocations(ctx context.Context) ([]row, error) {
	ours, err := start(ctx, b.idle, filepath.Dir(b.idle), nil)
	if err != nil {
		return nil, err
	}
	defer ours.stop()
	bare, err := start(ctx, b.bare, b.dir, nil)
	if err != nil {
		return nil, err
	}
	defer bare.stop()
	var ourTimes, bareTimes []time.Duration
	for range rounds {
		for p, times := range map[*process]*[]time.Duration{ours: &ourTimes, bare: &bareTimes} {
			began := time.Now()
			for range invocations {
				if _, err := p.invoke(ctx, "idle", timerPayload); err != nil {
					return nil, err
				}
			}
			*times = append(*times, time.Since(began)/invocations)
		}
	}
	return []row{{
		what: "cost of an invocation", measured: ratio(median(ourTimes), median(bareTimes)), limit: 1.3, unit: "x",
		detail: fmt.Sprintf("handler %v, bare net/http %v (medians of %d rounds)", median(ourTimes), median(bareTimes), rounds),
	}}, nil
}

// timerPayload is what the Functions host posts for a timer run by hand.
var timerPayload = []byte(`{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}},` +
	`"Metadata":{"timer":"","sys":{"MethodName":"idle","UtcNow":"2026-11-21T02:00:00.0000000Z","RandGuid":"00000000-0000-0000-0000-000000000001"}}}`)

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

// size weighs the packed binary, and the process that waits for work.
func (b *bench) size(ctx context.Context) ([]row, error) {
	binary := filepath.Join(b.app, "handler")
	info, err := os.Stat(binary)
	if err != nil {
		return nil, fmt.Errorf("weigh the binary: %w", err)
	}
	p, err := start(ctx, binary, b.app, nil)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if err := settle(ctx); err != nil {
		return nil, err
	}
	rss, err := p.memory("VmRSS")
	if err != nil {
		return nil, err
	}
	return []row{
		{what: "binary, stripped", measured: float64(info.Size()) / 1e6, limit: 30, unit: "MB", detail: "ftppull"},
		{what: "idle memory", measured: float64(rss) / 1e6, limit: 25, unit: "MB", detail: "resident, two seconds after the start"},
	}, nil
}

// settle lets a process finish what it does after its start.
func settle(ctx context.Context) error {
	select {
	case <-time.After(2 * time.Second):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
