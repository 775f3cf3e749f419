// Package localhost is a stand-in for the Azure Functions host on one machine: it runs packaged custom-handler apps with
// neither Azure nor Core Tools, to develop them and to operate small estates.
//
// It promises what a handler can observe of the real host: the same requests byte for byte (ids, times and ports apart),
// the same verdict on every answer, the same treatment of queues, timers and dying handlers. The truth it is tested
// against are recordings of the real host (version 4.1037). Where it differs on purpose, docs/local-host.md says so and why.
//
// A Host runs several apps, each with a handler process and a port of its own. It does not promise isolation, scaling,
// other bindings than timer, queue and HTTP, or the management API beyond what is needed to run and watch functions.
package localhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"
)

// Options say what to run and how. The zero value of each but Roots has a sensible meaning.
type Options struct {
	Roots        []string // app roots: folders with host.json, the handler and */function.json
	Environ      []string // app settings and the handler's environment, as from os.Environ
	SettingsFile string   // local.settings.json for all apps; empty: the one in each root, if there is one
	Address      string   // of the first app, default 127.0.0.1:7071; each further app has the next port; port 0: any
	Zone         string   // where schedules are read, a Windows or IANA name; empty: WEBSITE_TIME_ZONE, else UTC
	EnableAuth   bool     // ask for keys as in Azure; without it everybody may call everything
	KeysFile     string   // where the keys are kept with EnableAuth; default local.keys.json

	Out    io.Writer    // the screen that says what runs where; nil: none
	Logger *slog.Logger // nil: readable lines on Out

	// HiddenFor is how long a received message stays invisible to others; it is renewed at half of it. Default 10 minutes.
	HiddenFor time.Duration
	// MaxPolling overrides the longest wait between two polls of an empty queue (extensions.queues.maxPollingInterval).
	MaxPolling time.Duration
	// LeaseDuration is how long a timer's lock outlives a killed host: 15 (the default) to 60 seconds.
	LeaseDuration time.Duration
	// LeaseWait is the wait before the next try to get a timer's lock that another host holds. Default 5 seconds.
	LeaseWait time.Duration
	// TimeoutGrace is what a handler still gets after functionTimeout before it is killed. Default 2 seconds.
	TimeoutGrace time.Duration
	// DrainLimit is how long running invocations may go on when the host stops. Default 10 seconds.
	DrainLimit time.Duration
	// HandlerGrace is the time between SIGTERM and SIGKILL for the handler when the host stops. Default 5 seconds.
	HandlerGrace time.Duration
}

func (o *Options) setDefaults() {
	for value, fallback := range map[*time.Duration]time.Duration{
		&o.HiddenFor: 10 * time.Minute, &o.LeaseDuration: 15 * time.Second, &o.LeaseWait: 5 * time.Second,
		&o.TimeoutGrace: 2 * time.Second, &o.DrainLimit: 10 * time.Second, &o.HandlerGrace: 5 * time.Second,
	} {
		if *value == 0 {
			*value = fallback
		}
	}
	if o.Address == "" {
		o.Address = "127.0.0.1:7071"
	}
	if o.KeysFile == "" {
		o.KeysFile = "local.keys.json"
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Logger == nil {
		o.Logger = slog.New(newConsole(o.Out))
	}
}

// Host runs apps.
type Host struct {
	options Options
	apps    []*app
	keys    keyring
}

// New reads and checks every app root; nothing is started. Its error names file and line.
func New(o Options) (*Host, error) {
	o.setDefaults()
	if len(o.Roots) == 0 {
		return nil, errors.New("no app root given")
	}
	h := &Host{options: o}
	if o.EnableAuth {
		var err error
		if h.keys, err = loadKeys(o.KeysFile); err != nil {
			return nil, err
		}
	}
	var problems []error
	names := map[string]bool{}
	for _, root := range o.Roots {
		a, err := loadApp(root, &h.options)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if names[a.root] {
			problems = append(problems, fmt.Errorf("app root %s is given twice", a.root))
		}
		names[a.root] = true
		a.keys = h.keys
		h.apps = append(h.apps, a)
	}
	if err := errors.Join(problems...); err != nil {
		h.Stop()
		return nil, err
	}
	return h, nil
}

// Start starts every app and returns when all handlers are ready and the triggers run. When one app cannot start, none
// runs. ctx bounds the start only; Stop ends the host.
func (h *Host) Start(ctx context.Context) error {
	addresses, err := h.addresses()
	if err != nil {
		h.Stop()
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, len(h.apps))
	for i, a := range h.apps {
		wg.Go(func() { errs[i] = a.start(ctx, addresses[i]) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		h.Stop()
		return err
	}
	h.printScreen()
	return nil
}

// addresses gives each app the next port.
func (h *Host) addresses() ([]string, error) {
	name, text, err := net.SplitHostPort(h.options.Address)
	if err != nil {
		return nil, fmt.Errorf("address %q must be host:port, for example 127.0.0.1:7071: %w", h.options.Address, err)
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 0 || port+len(h.apps)-1 > 65535 {
		return nil, fmt.Errorf("address %q: the port must be a number up to %d", h.options.Address, 65536-len(h.apps))
	}
	var addresses []string
	for i := range h.apps {
		next := port
		if port > 0 {
			next += i
		}
		addresses = append(addresses, net.JoinHostPort(name, strconv.Itoa(next)))
	}
	return addresses, nil
}

// Stop takes no new work, lets running invocations finish within DrainLimit, and ends the handlers. It returns when all is
// gone, and may be called more than once.
func (h *Host) Stop() {
	var wg sync.WaitGroup
	for _, a := range h.apps {
		wg.Go(a.stop)
	}
	wg.Wait()
}

// Wait returns when ctx ends or no app is left: an app stops by itself when its handler keeps failing, and the others go
// on. The error says why apps stopped.
func (h *Host) Wait(ctx context.Context) error {
	for _, a := range h.apps {
		select {
		case <-a.handlerEnd:
			a.stop()
		case <-ctx.Done():
		}
	}
	var problems []error
	for _, a := range h.apps {
		select {
		case <-a.handlerEnd:
			problems = append(problems, a.problem)
		default:
		}
	}
	return errors.Join(problems...)
}

// Run runs the apps until ctx ends, or until none is left.
func Run(ctx context.Context, o Options) error {
	h, err := New(o)
	if err != nil {
		return err
	}
	if err := h.Start(ctx); err != nil {
		return err
	}
	defer h.Stop()
	err = h.Wait(ctx)
	if ctx.Err() != nil {
		h.options.Logger.Info(fmt.Sprintf("stopping; what runs has %s to finish", h.options.DrainLimit))
	}
	return err
}

// App is a running app.
type App struct {
	Name, Root string
	URL        string // without a slash at the end
	Functions  []Function
}

// Function is a function of a running app.
type Function struct {
	Name     string
	Trigger  string // timer, queue or http
	Detail   string // schedule, queue, or methods
	URL      string // of an HTTP function
	Next     []time.Time
	Disabled bool
	Problem  error // why it does not run
}

// Apps describes what runs; valid after Start.
func (h *Host) Apps() []App {
	var apps []App
	for _, a := range h.apps {
		described := App{Name: a.name, Root: a.root, URL: a.url}
		for _, f := range a.functions {
			described.Functions = append(described.Functions, a.describe(f))
		}
		apps = append(apps, described)
	}
	return apps
}
