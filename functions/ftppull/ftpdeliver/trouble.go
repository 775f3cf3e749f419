package ftpdeliver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// How long a message is put off.
const (
	laterDenied   = 20 * time.Minute // an administrator must act, and accounts get locked
	laterAbsent   = 5 * time.Minute  // the server, or its way to storage
	laterFull     = 15 * time.Minute // the disk
	laterInUse    = 2 * time.Minute  // the file
	laterContinue = time.Second
)

// refusedFor is how long a refused login is not tried again by other messages.
const refusedFor = 15 * time.Minute

// note remembers a refused login, and forgets it after a success.
func (r *refusal) note(err error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(err, winrm.ErrDenied):
		r.err, r.until = err, now.Add(refusedFor)
	case err == nil:
		r.err = nil
	}
}

// outcome says what the host is to do about an error. Trouble that passes, or that somebody must end at the server, costs the
// message none of its tries.
func outcome(ctx context.Context, err error) error {
	delay, do := judge(err)
	if delay == 0 {
		return err
	}
	if do != "" {
		customhandler.Log(ctx).Error("the delivery waits", "because", err.Error(), "do", do)
	}
	return later(err, delay)
}

func later(err error, d time.Duration) error {
	return fmt.Errorf("%w (%w)", err, customhandler.RetryAfter(d))
}

// judge gives the delay of what is to be put off, and what an administrator must do about it, if anything.
func judge(err error) (delay time.Duration, do string) {
	is := func(classes ...error) bool {
		for _, class := range classes {
			if errors.Is(err, class) {
				return true
			}
		}
		return false
	}
	switch {
	case is(errContinue):
		return laterContinue, ""
	case is(winrm.ErrDenied, winrm.ErrForbidden, winrm.ErrCert, winrm.ErrTimeSkew, winrm.ErrUnprotected):
		return laterDenied, "see the check function; an app that is restarted tries at once"
	case is(winrm.ErrUnreachable, winrm.ErrTimeout, winrm.ErrBusy, winrm.ErrQuota, winrm.ErrUnknownShell):
		return laterAbsent, ""
	case is(cursor.ErrLocked):
		return laterInUse, ""
	}
	var thrown *winrm.ScriptError
	if !errors.As(err, &thrown) {
		return 0, ""
	}
	switch thrown.ID {
	case "disk-full":
		return laterFull, "make room on the server's drive"
	case "sharing-violation":
		return laterInUse, "see which program has the file open, such as a running import"
	case "storage-unreachable":
		return laterAbsent, "let the server reach the storage account by https (port 443), directly or by MIMSyncProxy, or set MIMDeliverVia to stdin"
	}
	return 0, ""
}
