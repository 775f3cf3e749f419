package localhost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/schedule"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// Where the host keeps what it knows about timers.
const stateContainer = "azure-webjobs-hosts"

// adjustsForDST is what the handler is told: true for cron schedules.
func (t *timerTrigger) adjustsForDST() bool { return t.schedule.Kind() == schedule.Cron }

func (a *app) statusBlob(f *function) string {
	return fmt.Sprintf("timers/%s/Host.Functions.%s/status", a.hostID, f.name)
}

func (a *app) lockBlob(f *function) string {
	return fmt.Sprintf("locks/%s/Host.Functions.%s.Listener", a.hostID, f.name)
}

// runTimer serves a timer while this host holds its lock, until ctx ends. Of all hosts with the same id one has the lock.
func (a *app) runTimer(ctx context.Context, f *function) {
	log := a.log.With("function", f.name)
	told := false
	for ctx.Err() == nil {
		lease, err := a.state.Lease(ctx, a.lockBlob(f), a.options.LeaseDuration)
		if err != nil {
			switch {
			case ctx.Err() != nil:
			case !errors.Is(err, storage.ErrConflict):
				log.Error(fmt.Sprintf("cannot take the lock of timer %s, trying again in %s: %v", f.name, a.options.LeaseWait, err))
			case !told:
				log.Warn(fmt.Sprintf("another host, or one that died a moment ago, holds the lock of timer %s; waiting for it", f.name))
				told = true
			}
			pause(ctx, a.options.LeaseWait)
			continue
		}
		told = false
		holding, lost := context.WithCancel(ctx)
		a.busy.Go(func() { defer lost(); a.keepLease(holding, f, lease) })
		a.serveTimer(holding, f)
		lost()
		release, cancel := settling()
		if err := lease.Release(release); err != nil {
			log.Warn(fmt.Sprintf("cannot release the lock of timer %s: %v", f.name, err))
		}
		cancel()
	}
}

// keepLease renews the lock until ctx ends or the lock is lost.
func (a *app) keepLease(ctx context.Context, f *function, lease *storage.Lease) {
	renewed := time.Now()
	for pause(ctx, a.options.LeaseDuration/3) {
		err := lease.Renew(ctx)
		if err == nil {
			renewed = time.Now()
			continue
		}
		if ctx.Err() == nil && (errors.Is(err, storage.ErrConflict) || time.Since(renewed) > a.options.LeaseDuration) {
			a.log.Warn(fmt.Sprintf("the lock of timer %s is lost: %v", f.name, err), "function", f.name)
			return
		}
	}
}

// serveTimer runs the function whenever it is due, one run at a time, until ctx ends.
func (a *app) serveTimer(ctx context.Context, f *function) {
	t, log := f.timer, a.log.With("function", f.name)
	status, pastDue, err := a.openTimer(ctx, f)
	if err != nil {
		if ctx.Err() == nil {
			log.Error(fmt.Sprintf("the timer cannot start: %v", err))
			<-ctx.Done()
		}
		return
	}
	if pastDue || t.runOnStartup {
		reason := "RunOnStartup"
		if pastDue {
			reason = "IsPastDue"
		}
		status = a.fire(f, status, pastDue, time.Now(), reason)
	}
	for {
		if status.Next.IsZero() {
			log.Warn(fmt.Sprintf("the schedule %q never occurs", t.text))
			<-ctx.Done()
			return
		}
		if !waitUntil(ctx, status.Next) {
			return
		}
		at := time.Now()
		if at.Before(status.Next) {
			at = status.Next
		}
		status = a.fire(f, status, false, at, "Scheduled")
	}
}

// openTimer reads and judges the record of a timer.
func (a *app) openTimer(ctx context.Context, f *function) (status schedule.Status, pastDue bool, err error) {
	if !f.timer.monitored {
		return f.timer.schedule.Start(nil, time.Now(), a.local).Status, false, nil
	}
	stored, err := a.readStatus(ctx, f)
	if err != nil {
		return schedule.Status{}, false, err
	}
	start := f.timer.schedule.Start(stored, time.Now(), a.local)
	if start.Write != nil {
		a.writeStatus(f, *start.Write)
	}
	return start.Status, start.PastDue > 0, nil
}

// readStatus is nil when there is no record.
func (a *app) readStatus(ctx context.Context, f *function) (*schedule.Status, error) {
	text, _, err := a.state.Read(ctx, a.statusBlob(f), 1<<20)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	status, err := schedule.ParseStatus(text, a.local)
	if err != nil {
		return nil, fmt.Errorf("the record in blob %s/%s is not readable (%w); delete the blob to begin anew", stateContainer, a.statusBlob(f), err)
	}
	return status, nil
}

// writeStatus stores a record. As in the host a failure is reported and otherwise without consequence.
func (a *app) writeStatus(f *function, status schedule.Status) {
	ctx, cancel := settling()
	defer cancel()
	meta := storage.Meta{ContentType: "application/octet-stream"}
	if _, err := a.state.Write(ctx, a.statusBlob(f), []byte(status.Text(a.local)), storage.Cond{}, meta); err != nil {
		a.log.Error(fmt.Sprintf("cannot store the record of timer %s: %v", f.name, err), "function", f.name)
	}
}

// waitUntil waits for a time of day. It looks at the wall clock again and again: laptops sleep, clocks are set.
func waitUntil(ctx context.Context, at time.Time) bool {
	for {
		left := at.Round(0).Sub(time.Now().Round(0))
		if left <= 0 {
			return ctx.Err() == nil
		}
		if !pause(ctx, min(left, time.Minute)) {
			return false
		}
	}
}

// fire runs the function once and records it, failed or not. A run that the host's end cut short is not recorded: it
// repeats at the next start.
func (a *app) fire(f *function, status schedule.Status, pastDue bool, at time.Time, reason string) schedule.Status {
	_, err := a.invoke(invocation{
		function: f,
		reason:   fmt.Sprintf("Timer fired at %s, %s", at.In(a.local).Format("2006-01-02T15:04:05.9999999-07:00"), reason),
		build: func() (payload, error) {
			return timerPayload(f, a.shownStatus(f, &status), pastDue, nil, time.Now()), nil
		},
	})
	if errors.Is(err, errStopping) {
		return status
	}
	status = f.timer.schedule.Ran(at, a.local)
	if f.timer.monitored {
		a.writeStatus(f, status)
	}
	return status
}

// shownStatus is what the handler sees of the record.
func (a *app) shownStatus(f *function, status *schedule.Status) string {
	if !f.timer.monitored || status == nil {
		return "null"
	}
	return status.Text(a.local)
}

// runTimerManually runs a timer for the admin API: with the stored record, which it does not change.
func (a *app) runTimerManually(f *function, input *string) {
	var status *schedule.Status
	if f.timer.monitored {
		var err error
		if status, err = a.readStatus(a.hard, f); err != nil {
			a.log.Error(err.Error(), "function", f.name)
		}
	}
	a.invokeManually(f, func() (payload, error) {
		return timerPayload(f, a.shownStatus(f, status), false, input, time.Now()), nil
	})
}

// invokeManually runs a function for the admin API; the outcome is in the log.
func (a *app) invokeManually(f *function, build func() (payload, error)) {
	a.invoke(invocation{function: f, freshIDs: true, build: build,
		reason: "This function was programmatically called via the host APIs."})
}
