package customhandler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/nightshift-hq/nightshift/pkg/storage"
)

const (
	maxRuns   = 4                // runs by hand at a time, in one process
	heartbeat = 15 * time.Second // how often a run says that it lives
	deadAfter = 4 * heartbeat    // without a heartbeat for so long its process is taken for dead
	keepRuns  = 7 * 24 * time.Hour
)

// States of a run.
const (
	running = "running"
	ended   = "ended"
	dead    = "dead"
)

// runRecord is what is known of a run by hand; its blob is runs/<id>.json, so that any instance of the app can tell.
type runRecord struct {
	ID        string            `json:"id"`
	Function  string            `json:"function"`
	State     string            `json:"state"`
	DryRun    bool              `json:"dryRun,omitempty"`
	Started   time.Time         `json:"started"`
	Heartbeat time.Time         `json:"heartbeat"`
	Took      string            `json:"took,omitempty"`
	OK        bool              `json:"ok"`
	Outcome   verdict           `json:"outcome,omitempty"`
	Error     string            `json:"error,omitempty"`
	Do        string            `json:"do,omitempty"`
	Report    []json.RawMessage `json:"report,omitempty"`
	Log       []json.RawMessage `json:"log,omitempty"`
	LogCut    int               `json:"logLinesCut,omitempty"`
	Ask       string            `json:"ask,omitempty"` // where to ask again
}

func (r runRecord) name() string { return "runs/" + r.ID + ".json" }

// runs are the runs by hand of this process.
type runs struct {
	handler *Handler
	slots   chan struct{}
	all     sync.WaitGroup

	mu   sync.Mutex
	live map[string]*liveRun
}

// liveRun is a run of this process that goes on after the request that started it.
type liveRun struct {
	inv   *invocation
	scrub scrubber
	ended chan struct{}

	mu     sync.Mutex
	record runRecord
}

func newRuns(h *Handler) *runs {
	return &runs{handler: h, slots: make(chan struct{}, maxRuns), live: map[string]*liveRun{}}
}

// wait waits for the runs to end, or for ctx.
func (rs *runs) wait(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		rs.all.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errTooManyRuns = fmt.Errorf("%d runs by hand are going on in this process already: wait for one to end", maxRuns)

// start begins a run of the function by hand. The work goes on until it ends, the process stops or functionTimeout is over.
// after is called when the work is done and its outcome was nil.
func (rs *runs) start(f Function, dryRun bool, work, after func(context.Context) error) (*liveRun, error) {
	select {
	case rs.slots <- struct{}{}:
	default:
		return nil, errTooManyRuns
	}
	now := time.Now().UTC()
	id := now.Format("20060102T150405Z") + "-" + uuid.NewString()[:8]
	inv := &invocation{function: f.name, id: id, started: now, manual: true, dryRun: dryRun, transcript: &transcript{},
		app: rs.handler.log}
	run := &liveRun{inv: inv, scrub: rs.handler.scrub, ended: make(chan struct{}),
		record: runRecord{ID: id, Function: f.name, State: running, DryRun: dryRun, Started: now, Heartbeat: now}}
	rs.mu.Lock()
	rs.live[id] = run
	rs.mu.Unlock()
	ctx, cancel := rs.handler.invocationContext(context.Background(), inv)
	rs.all.Go(func() {
		defer func() {
			cancel()
			close(run.ended)
			rs.mu.Lock()
			delete(rs.live, id)
			rs.mu.Unlock()
			<-rs.slots
		}()
		rs.carryOut(ctx, run, work, after)
	})
	return run, nil
}

func (rs *runs) carryOut(ctx context.Context, run *liveRun, work, after func(context.Context) error) {
	rs.store(ctx, run)
	rs.prune(ctx)
	beating, stopBeating := context.WithCancel(ctx)
	var beat sync.WaitGroup
	beat.Go(func() { rs.beat(beating, run) })
	err := work(ctx)
	if err == nil && after != nil {
		err = after(ctx)
	}
	stopBeating()
	beat.Wait()
	run.finish(err)
	rs.store(ctx, run)
}

// beat keeps the record fresh, so that others can tell a long run from one whose process died.
func (rs *runs) beat(ctx context.Context, run *liveRun) {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			run.mu.Lock()
			run.record.Heartbeat = now.UTC()
			run.mu.Unlock()
			rs.store(ctx, run)
		}
	}
}

// store writes the run's record. A run whose record cannot be written is still told to whoever waits for it.
func (rs *runs) store(ctx context.Context, run *liveRun) {
	write, cancel := rs.handler.writing(ctx)
	defer cancel()
	record := run.snapshot()
	if err := rs.handler.writeRecord(write, record.name(), record, storage.Cond{}); err != nil {
		Log(ctx).Warn("run not recorded: only this process can tell about it", "error", err)
	}
}

// prune removes the records of old runs. Ids begin with the time, and lists are in order of names.
func (rs *runs) prune(ctx context.Context) {
	write, cancel := rs.handler.writing(ctx)
	defer cancel()
	if rs.handler.app.State == nil {
		return
	}
	for p, err := range rs.handler.app.State.List(write, "runs/") {
		if err != nil || time.Since(p.ModTime) < keepRuns {
			return
		}
		if err := rs.handler.app.State.Delete(write, p.Name, storage.Cond{}); err != nil {
			return // the next run tries again
		}
	}
}

func (run *liveRun) finish(err error) {
	v, after := judge(err)
	run.mu.Lock()
	defer run.mu.Unlock()
	r := &run.record
	r.State, r.Outcome, r.OK = ended, v, err == nil
	r.Heartbeat = time.Now().UTC()
	r.Took = time.Since(r.Started).Round(time.Millisecond).String()
	if err == nil {
		return
	}
	r.Error, r.Do = run.scrub.text(err.Error()), run.scrub.text(adviceOf(err))
	switch {
	case r.Do != "":
	case v == retry:
		r.Do = fmt.Sprintf("try again in %v; a message of the queue would be put off for that long", after)
	case v == permanent:
		r.Do = "correct the input or what the error names: trying again cannot help"
	case v == hold && r.DryRun:
		r.Do = "a real run would be held for an operator"
	case v == hold:
		r.Do = "it is held: release or discard it"
	}
}

func (run *liveRun) snapshot() runRecord {
	run.mu.Lock()
	defer run.mu.Unlock()
	r := run.record
	for _, report := range run.inv.reported() {
		r.Report = append(r.Report, run.scrub.json(report))
	}
	r.Log, r.LogCut = run.inv.transcript.snapshot()
	return r
}

// find tells about a run: from this process if it goes on here, else from its record.
func (rs *runs) find(ctx context.Context, id string, wait time.Duration) (runRecord, error) {
	rs.mu.Lock()
	run, ok := rs.live[id]
	rs.mu.Unlock()
	if ok {
		run.await(ctx, wait)
		return run.snapshot(), nil
	}
	if strings.ContainsAny(id, "/\\") || id == "" {
		return runRecord{}, errUnknownRun
	}
	record := runRecord{ID: id}
	etag, err := rs.handler.readRecord(ctx, record.name(), &record)
	if err == nil && etag == "" {
		err = errUnknownRun
	}
	return record.judged(), err
}

var errUnknownRun = errors.New("no run has this id: it may be older than seven days")

// judged tells a run that goes on elsewhere from one whose process died.
func (r runRecord) judged() runRecord {
	if r.State == running && time.Since(r.Heartbeat) > deadAfter {
		r.State, r.OK = dead, false
		r.Error = fmt.Sprintf("its process died or was stopped; the last sign of life is of %s", r.Heartbeat.Format(time.RFC3339))
		r.Do = "run it again: what it had done is found done"
	}
	return r
}

func (run *liveRun) await(ctx context.Context, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-run.ended:
	case <-timer.C:
	case <-ctx.Done():
	}
}
