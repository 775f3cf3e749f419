package winrm

import (
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"
)

//go:embed detached.ps1
var detachedText string

// DetachedScript is the script that RunDetached runs, for whoever has to recognise it.
func DetachedScript() Script { return Script{Name: "detached.ps1", Text: detachedText} }

var runKey = regexp.MustCompile(`^[a-z0-9-]+$`)

// followWait is how long the server waits for something to tell before it answers a question.
const followWait = 15 * time.Second

// order is what detached.ps1 takes.
type order struct {
	Action      string
	Key         string
	Offset      int64
	WaitSeconds int
	Task        string `json:",omitempty"`
	Nonce       string `json:",omitempty"`
	Command     string `json:",omitempty"`
}

// report is what it answers.
type report struct {
	State  string // none, running, ended or lost
	Nonce  string
	Out    string // base64
	Err    string // base64
	Offset int64
	Exit   int
}

// RunDetached is Run for long work: the script outlives the connection, the shell and the caller. Whoever calls with the same
// key, made of lower-case letters, digits and dashes, gets the same run: one that is under way is followed, with all its
// events from the beginning; one that succeeded gives its result again, for 14 days after its end; after one that failed, or was lost
// with the server, the next call starts anew. No two runs of a key exist at the same time.
//
// A lost connection is made again until ctx ends; then the error is ErrStillRunning if the script had been started, and the
// work goes on. What is lost while it is followed is ErrNoResult.
//
// The script runs as the account, started by WMI; until it ends, its parameters are in a file that only administrators and
// the account can read.
func (c *Client) RunDetached(ctx context.Context, key string, script Script, params any, on func(Event)) (json.RawMessage, error) {
	result, err := c.runDetached(ctx, key, script, params, on)
	if err != nil {
		return nil, fmt.Errorf("run script %q detached as %q: %w", script.Name, key, err)
	}
	return result, nil
}

func (c *Client) runDetached(ctx context.Context, key string, script Script, params any, on func(Event)) (json.RawMessage, error) {
	if len(key) > 100 || !runKey.MatchString(key) {
		return nil, fmt.Errorf("the key is %.120q: want up to 100 lower-case letters, digits and dashes", key)
	}
	t, err := newTask(script, params)
	if err != nil {
		return nil, err
	}
	t.secrets = append(t.secrets, c.cfg.Password)
	d := &detached{client: c, key: key, script: script, task: t, on: on}
	if err := d.begin(ctx); err != nil {
		return nil, d.unfinished(ctx, err)
	}
	state, err := d.follow(ctx)
	if err != nil {
		return nil, d.unfinished(ctx, err)
	}
	return d.conclude(ctx, state)
}

// detached is one call's view of a detached run.
type detached struct {
	client *Client
	key    string
	script Script
	task   *task
	on     func(Event)

	started bool // the script may be running
	run     *run
	offset  int64
}

// begin finds the run, or starts it.
func (d *detached) begin(ctx context.Context) error {
	r, err := d.ask(ctx, order{Action: "follow", Key: d.key})
	if err == nil && (r.State == "none" || r.State == "lost") {
		d.started = true // from here on nobody knows better, should the answer be lost
		r, err = d.ask(ctx, order{Action: "start", Key: d.key, Task: string(d.task.input), Nonce: d.task.nonce,
			Command: commandLine()})
	}
	if err != nil {
		return err
	}
	if r.State == "none" {
		return &NoResultError{}
	}
	d.started = true
	d.task.nonce = r.Nonce // of the call that started it
	d.run = newRun(d.script, d.task, d.on)
	return nil
}

// follow reads the run's output until it has ended, and returns the last report.
func (d *detached) follow(ctx context.Context) (report, error) {
	for {
		r, err := d.ask(ctx, order{Action: "follow", Key: d.key, Offset: d.offset, WaitSeconds: int(followWait.Seconds())})
		if err != nil {
			return report{}, err
		}
		out, err := base64.StdEncoding.DecodeString(r.Out)
		if err != nil {
			return report{}, fmt.Errorf("read the output of the run: %w", err)
		}
		if _, err := d.run.out.Write(out); err != nil {
			return report{}, err
		}
		d.offset = r.Offset
		if r.State != "running" {
			return r, nil
		}
	}
}

// ask runs detached.ps1, again and again while the server cannot be reached: what it does can be repeated.
func (d *detached) ask(ctx context.Context, o order) (report, error) {
	for {
		r, err := RunAs[report](ctx, d.client, DetachedScript(), o, nil)
		if err == nil || !passing(err) || ctx.Err() != nil {
			return r, err
		}
		if pause(ctx, d.client.cfg.OperationTimeout/4) != nil {
			return report{}, err
		}
	}
}

// passing tells whether a failure may be over soon.
func passing(err error) bool {
	for _, class := range []error{ErrUnreachable, ErrTimeout, ErrBusy, ErrQuota, ErrUnknownShell} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

func (d *detached) unfinished(ctx context.Context, err error) error {
	if d.started && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrStillRunning, context.Cause(ctx))
	}
	return err
}

// conclude says what an ended run came to. A failure is told once: then the run is forgotten, so that the next call starts anew.
func (d *detached) conclude(ctx context.Context, r report) (json.RawMessage, error) {
	if err := d.run.out.end(); err != nil {
		return nil, err
	}
	stderr, err := base64.StdEncoding.DecodeString(r.Err)
	if err != nil {
		return nil, fmt.Errorf("read the error output of the run: %w", err)
	}
	d.run.stderr.Write(stderr)
	d.run.exitCode = r.Exit
	if r.State == "lost" {
		d.run.exitCode = -1
		d.run.out.result = nil
	}
	result, failure := d.run.outcome()
	if failure != nil {
		if _, err := d.ask(ctx, order{Action: "forget", Key: d.key}); err != nil {
			return nil, errors.Join(failure, fmt.Errorf("forget the run: %w", err))
		}
	}
	return result, failure
}
