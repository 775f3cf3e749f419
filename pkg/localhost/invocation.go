package localhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
)

// invocation is one trigger event of a function that is not forwarded.
type invocation struct {
	function *function
	reason   string
	freshIDs bool // a new id for each try, as for HTTP and manual runs
	build    func() (payload, error)
}

var errTimeout = errors.New("functionTimeout exceeded")

// invoke runs a trigger event: tries, with the function's retry policy, until one succeeds, and stores its outputs.
func (a *app) invoke(inv invocation) (reply, error) {
	a.running.Add(1)
	defer a.running.Add(-1)
	f, id := inv.function, uuid.NewString()
	var last error
	for try := 0; ; try++ {
		if try > 0 && inv.freshIDs {
			id = uuid.NewString()
		}
		r, err := a.try(inv, id, try, last)
		if err == nil || f.retry == nil || f.retry.max >= 0 && try >= f.retry.max {
			return r, err
		}
		last = err
		if !pause(a.soft, f.retry.delay(try+1)) {
			return r, err
		}
	}
}

func (a *app) try(inv invocation, id string, try int, last error) (r reply, err error) {
	f := inv.function
	log := a.log.With("function", f.name, "invocation", id)
	started := time.Now()
	log.Info(fmt.Sprintf("Executing 'Functions.%s' (%s)", f.name, inv.reason))
	defer func() { logEnd(log, f, started, err) }()
	p, err := inv.build()
	if err != nil {
		return reply{}, err
	}
	retry := netjson.Value{}
	if f.retry != nil {
		retry = f.retry.context(f.name, try, last)
	}
	body := p.encode(retry)
	_, err = a.exchange(f, func(h *process) (response, error) {
		return h.wire.follow(a.hard, invocationRequest(h.wire.address, f.name, id, body))
	}, func(resp response) error {
		r, err = parseReply(resp.status, resp.header.Get("Content-Type"), resp.body)
		return err
	})
	if err != nil {
		return reply{}, err
	}
	for _, line := range r.logs {
		log.Info(line, "category", "Function."+f.name+".User")
	}
	ctx, cancel := settling()
	defer cancel()
	return r, a.storeOutputs(ctx, f, r)
}

func logEnd(log *slog.Logger, f *function, started time.Time, err error) {
	took := time.Since(started).Milliseconds()
	if err != nil {
		log.Error(fmt.Sprintf("Executed 'Functions.%s' (Failed, Duration=%dms): %v", f.name, took, err))
		return
	}
	log.Info(fmt.Sprintf("Executed 'Functions.%s' (Succeeded, Duration=%dms)", f.name, took))
}

// exchange sends a request and judges its answer within functionTimeout. When time is up, or an answer completes nothing,
// the handler is killed with everything in flight.
func (a *app) exchange(f *function, send func(*process) (response, error), judge func(response) error) (response, error) {
	h, err := a.awaitHandler()
	if err != nil {
		return response{}, err
	}
	ctx, cancel := a.deadline()
	defer cancel()
	type answer struct {
		resp response
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		resp, err := send(h)
		if err != nil && a.hard.Err() != nil {
			err = errStopping
		}
		answered <- answer{resp, err}
	}()
	var why error
	select {
	case got := <-answered:
		if got.err == nil {
			got.err = judge(got.resp)
		}
		if !errors.Is(got.err, errNoResult) {
			return got.resp, got.err
		}
		// The real host waits here for nothing, and so do we: a handler with this bug must not look well.
		why = got.err
		a.log.Warn(why.Error(), "function", f.name)
		<-ctx.Done()
	case <-ctx.Done():
		why = fmt.Errorf("no answer within %s", a.config.timeout)
		defer func() { <-answered }()
	}
	if a.hard.Err() != nil {
		return response{}, errStopping
	}
	a.killLate(f, h)
	return response{}, fmt.Errorf("%w: %w", errTimeout, why)
}

// deadline ends with functionTimeout, if there is one, or when the host stops.
func (a *app) deadline() (context.Context, context.CancelFunc) {
	if a.config.timeout > 0 {
		return context.WithTimeout(a.hard, a.config.timeout)
	}
	return context.WithCancel(a.hard)
}

// killLate gives the handler of a late function a last grace and replaces it.
func (a *app) killLate(f *function, h *process) {
	a.log.Error(fmt.Sprintf("Timeout value of %s exceeded by function 'Functions.%s'; the handler is killed in %s",
		a.config.timeout, f.name, a.options.TimeoutGrace), "function", f.name)
	pause(a.hard, a.options.TimeoutGrace)
	a.handler.restart(a.hard, h)
}

// awaitHandler waits for the handler as long as the host does: four times the initialization timeout.
func (a *app) awaitHandler() (*process, error) {
	ctx, cancel := context.WithTimeoutCause(a.hard, 4*a.config.initTimeout, errors.New("the handler is not there"))
	defer cancel()
	h, err := a.handler.await(ctx)
	if a.hard.Err() != nil {
		return nil, errStopping
	}
	return h, err
}
