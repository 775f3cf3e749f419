package customhandler

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// App is everything that the host's protocol needs to know of an app.
type App struct {
	Name      string // the app's folder under functions/, stamped on every log record
	Version   string // of the release, for the first log record; may be empty
	Functions []Function
	Checks    []Check
	Storage   *storage.Account   // where the queues are
	State     *storage.Container // <app>-state: held and poisoned messages' reasons, failed tries, runs
	Secrets   []settings.Secret  // kept out of every log line, reply and record
	Settings  any                // the settings struct, for the check function; may be nil

	// Problem says that the settings are unusable. The process then still listens: timers fail with it, queue messages are
	// put off for fifteen minutes, invoke and check answer.
	Problem error
}

// openStorage fills in what an app with unusable settings may have left out, so that degraded mode can put messages off. A
// connection that cannot even be parsed stays nil; what needs it says so.
func (a *App) openStorage(environ []string) {
	if a.Storage == nil {
		var common settings.Common
		_ = settings.Load(&common, environ) // its problems are in a.Problem, or nobody's
		if account, err := storage.Open(common.Storage); err == nil {
			a.Storage = account
			a.Secrets = append(a.Secrets, settings.Secrets(common)...)
		}
	}
	if a.State == nil && a.Storage != nil && a.Name != "" {
		a.State = a.Storage.Container(strings.ToLower(a.Name) + "-state")
	}
}

// Function is one function of an app, made by TimerFunc, QueueFunc or HTTPFunc.
type Function struct {
	name    string
	trigger trigger
	timer   func(context.Context, Timer) error
	queue   func(queueItem) (work func(context.Context) error, err error)
	version int // of the queue's message type
	http    http.Handler
	problem error // of the registration itself
}

type trigger string

const (
	timerTrigger trigger = "timerTrigger"
	queueTrigger trigger = "queueTrigger"
	httpTrigger  trigger = "httpTrigger"
)

// Name is the function's name: its folder, its route, its field in the logs.
func (f Function) Name() string { return f.name }

// Timer is one firing of a timer function.
type Timer struct {
	Schedule     string          // as in function.json, settings filled in; empty when there is none to read
	AdjustForDST bool            // the host moves the schedule with daylight saving time
	Status       *ScheduleStatus // nil when the host keeps none (schedules below a minute, useMonitor false)
	IsPastDue    bool            // the host was down when this was due
	Manual       bool            // run by hand
	Input        string          // given by whoever ran it by hand
	Released     *Release        // not nil when an operator released this function from a hold
	Now          time.Time       // when the handler was called
}

// ScheduleStatus is the host's note of the timer before this firing. Times that the host left out are zero.
type ScheduleStatus struct {
	Last, Next, LastUpdated time.Time
}

// TimerFunc registers a timer function.
func TimerFunc(name string, h func(context.Context, Timer) error) Function {
	return Function{name: name, trigger: timerTrigger, timer: h}
}

// QueueFunc registers a queue function whose messages are of type T. A body that is not exactly a T of its current version
// never reaches h: it is a permanent error that names the field.
func QueueFunc[T Versioned](name string, h func(context.Context, Message[T]) error) Function {
	var zero T
	expected, err := messageShape[T]()
	return Function{
		name: name, trigger: queueTrigger, version: zero.MessageVersion(), problem: err,
		queue: func(item queueItem) (func(context.Context) error, error) {
			data, book, err := decodeMessage[T](item.body, expected)
			if err != nil {
				return nil, Permanent(fmt.Errorf("message of queue %q: %w: it comes from another release of the app or from another sender; "+
					"requeue it under the release that knows it, or discard it", item.queue, err))
			}
			m := Message[T]{Data: data, ID: item.id, DequeueCount: item.dequeueCount, Inserted: item.inserted, Released: book.Released,
				Again: item.dequeueCount != 1 || !book.empty(), Lost: item.lost, Manual: item.manual}
			return func(ctx context.Context) error { return h(ctx, m) }, nil
		},
	}
}

// HTTPFunc registers an HTTP function. h sees the client's own request; Params of the route are path values. Its answer must
// be text: the host cannot carry anything else.
func HTTPFunc(name string, h http.Handler) Function {
	return Function{name: name, trigger: httpTrigger, http: h}
}

// Check tries one thing that the app depends on. Try returns what it found, for example "4 files in /hr", and must leave
// nothing behind.
type Check struct {
	Name string
	Try  func(context.Context) (detail string, err error)
}

type advisedError struct {
	error
	do string
}

func (e *advisedError) Unwrap() error { return e.error }

// Advise adds to an error what an admin should do about it; the check function shows it in its own column. Advise(nil, …) is nil.
func Advise(err error, do string) error {
	if err == nil {
		return nil
	}
	return &advisedError{err, do}
}

// adviceOf is the advice that came with the error; for trouble with the storage account, which every app needs, there always
// is one.
func adviceOf(err error) string {
	var a *advisedError
	switch {
	case errors.As(err, &a):
		return a.do
	case errors.Is(err, storage.ErrDenied):
		return "give the app's identity the roles Storage Blob Data Contributor and Storage Queue Data Contributor"
	case errors.Is(err, storage.ErrUnavailable):
		return "see that the storage account is up, and that its firewall lets this app in"
	}
	return ""
}
