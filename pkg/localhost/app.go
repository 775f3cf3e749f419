package localhost

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"

	"github.com/nightshift-hq/nightshift/pkg/schedule"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// app is one Function App: its own handler, its own port.
type app struct {
	name, root, hostID string
	options            *Options
	config             hostConfig
	env                *environment
	functions          []*function
	routes             []*function // functions with a route, the most specific first
	local              *time.Location
	keys               keyring
	log                *slog.Logger
	handler            *supervisor
	url                string
	started            time.Time

	transport *http.Transport
	account   *storage.Account
	state     *storage.Container

	mu        sync.Mutex
	services  map[string]*azqueue.ServiceClient // by connection
	listeners map[string][]*listener            // by queue
	closing   bool

	// soft ends when the app takes no new work, hard when what runs must end, too.
	soft, hard         context.Context
	endSoft, endHard   context.CancelFunc
	busy               sync.WaitGroup // listeners and everything they or a request started
	running            atomic.Int64   // invocations
	server             *http.Server
	endHandler         context.CancelFunc
	handlerEnd, served chan struct{}
	stopOnce           sync.Once
	problem            error // why the app stopped by itself; valid after stop
}

// loadApp reads an app root. It neither listens nor starts anything.
func loadApp(root string, o *Options) (*app, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("app root: %w", err)
	}
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("app root %s is not a directory", root)
	}
	env := newEnvironment(o.Environ)
	settingsFile := o.SettingsFile
	if settingsFile == "" {
		settingsFile = localSettingsFile(root)
	} else if _, err := os.Stat(settingsFile); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	if err := env.addLocalSettings(settingsFile); err != nil {
		return nil, err
	}
	config, err := loadHostConfig(root, env)
	if err != nil {
		return nil, err
	}
	functions, err := loadFunctions(root, config, env)
	if err != nil {
		return nil, err
	}
	a := &app{name: filepath.Base(root), root: root, options: o, config: config, env: env, functions: functions,
		services: map[string]*azqueue.ServiceClient{}, listeners: map[string][]*listener{}}
	if a.local, err = zone(o, env); err != nil {
		return nil, err
	}
	a.log = o.Logger.With("app", a.name)
	a.hostID = hostID(env, root)
	a.routes = slices.DeleteFunc(slices.Clone(functions), func(f *function) bool { return f.http == nil })
	slices.SortStableFunc(a.routes, func(x, y *function) int { return strings.Compare(x.http.route.weight(), y.http.route.weight()) })
	a.handler = newSupervisor(config, root, env, o.HandlerGrace, a.log)
	return a, a.checkStorage()
}

// zone is where schedules are read: the option, WEBSITE_TIME_ZONE, or UTC.
func zone(o *Options, env *environment) (*time.Location, error) {
	name := o.Zone
	if name == "" {
		name = env.get("WEBSITE_TIME_ZONE")
	}
	if name == "" {
		return time.UTC, nil
	}
	z, err := schedule.LoadZone(name)
	if err != nil {
		return nil, fmt.Errorf("setting WEBSITE_TIME_ZONE: %w", err)
	}
	return z.Location(), nil
}

// hostID names the host in its storage. A stand-in must not take the locks of the app in Azure, so it has a name of its own.
func hostID(env *environment, root string) string {
	if id := env.get("AzureFunctionsWebHost__hostid"); id != "" {
		return strings.ToLower(id)
	}
	machine, err := os.Hostname()
	if err != nil {
		machine = "local"
	}
	h := fnv.New32a()
	h.Write([]byte(root))
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(machine))
	return fmt.Sprintf("%.20s-%d", clean, h.Sum32())
}

func (a *app) checkStorage() error {
	for _, f := range a.functions {
		if f.timer == nil || f.disabled || f.problem != nil {
			continue
		}
		account, err := storage.Open(a.env.storageConfig())
		if err != nil {
			return fmt.Errorf("%s: the timer %q keeps its record and its lock in storage: %w", a.root, f.name, err)
		}
		a.account, a.state = account, account.Container(stateContainer)
		break
	}
	return nil
}

// start listens, starts the handler, and when that is ready the triggers.
func (a *app) start(ctx context.Context, address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("app %s: listen on %s (is another host running? choose another address): %w", a.name, address, err)
	}
	a.url = "http://" + listener.Addr().String()
	a.started = time.Now()
	a.transport = http.DefaultTransport.(*http.Transport).Clone()
	a.soft, a.endSoft = context.WithCancel(context.Background())
	a.hard, a.endHard = context.WithCancel(context.Background())
	var handling context.Context
	handling, a.endHandler = context.WithCancel(context.Background())
	a.handlerEnd, a.served = make(chan struct{}), make(chan struct{})
	a.server = &http.Server{Handler: withHeads(a), ConnContext: rememberConn, ReadHeaderTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)}
	go func() {
		err := a.handler.run(handling)
		if err != nil {
			a.log.Error(err.Error())
			a.problem = fmt.Errorf("app %s: %w", a.name, err)
		}
		close(a.handlerEnd)
		if err != nil {
			a.stop()
		}
	}()
	go func() {
		defer close(a.served)
		a.server.Serve(headListener{listener})
	}()
	if _, err := a.handler.await(ctx); err != nil {
		a.stop()
		return errors.Join(a.problem, ctx.Err())
	}
	if err := a.startTriggers(ctx); err != nil {
		a.stop()
		return err
	}
	return nil
}

func (a *app) startTriggers(ctx context.Context) error {
	if a.state != nil {
		if err := a.state.Create(ctx); err != nil {
			return fmt.Errorf("app %s: timers and queues need storage: setting %s: %w; start Azurite, or name an account that can be reached",
				a.name, defaultConnection, err)
		}
	}
	for _, f := range a.functions {
		switch {
		case f.problem != nil:
			a.log.Error(fmt.Sprintf("function %s does not run: %v", f.name, f.problem), "function", f.name)
		case f.disabled:
		case f.timer != nil:
			a.busy.Go(func() { a.runTimer(a.soft, f) })
		case f.queue != nil:
			l, err := a.newListener(f)
			if err != nil {
				return fmt.Errorf("%s: %w", f.file, err)
			}
			a.mu.Lock()
			a.listeners[l.queue.name] = append(a.listeners[l.queue.name], l)
			a.mu.Unlock()
			a.busy.Go(func() { l.run(a.soft) })
		}
	}
	return nil
}

// enter counts a request in; it is refused when the app stops.
func (a *app) enter() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closing {
		a.busy.Add(1)
	}
	return !a.closing
}

// wake tells the pollers of a queue that this process has put a message there.
func (a *app) wake(queue string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.listeners[queue] {
		select {
		case l.woken <- struct{}{}:
		default:
		}
	}
}

// drain takes no new work from timers and queues; HTTP goes on.
func (a *app) drain() { a.endSoft() }

// stop lets what runs finish for a while, then cuts it off, then ends the handler.
func (a *app) stop() {
	a.stopOnce.Do(func() {
		if a.account != nil {
			defer a.account.Close()
		}
		if a.server == nil {
			return // never started
		}
		a.mu.Lock()
		a.closing = true
		a.mu.Unlock()
		a.endSoft()
		drained := make(chan struct{})
		go func() { a.busy.Wait(); close(drained) }()
		limit := time.NewTimer(a.options.DrainLimit)
		defer limit.Stop()
		select {
		case <-drained:
		case <-a.handlerEnd:
		case <-limit.C:
			a.log.Warn(fmt.Sprintf("invocations still run after %s and are cut off; their messages come again", a.options.DrainLimit))
		}
		a.endHard()
		<-drained
		a.endHandler()
		<-a.handlerEnd
		a.server.Close()
		<-a.served
		a.transport.CloseIdleConnections()
	})
}

func (a *app) maxPolling() time.Duration {
	if a.options.MaxPolling > 0 {
		return a.options.MaxPolling
	}
	return a.config.queues.maxPolling
}

// invokeURL is where an HTTP function is called.
func (a *app) invokeURL(f *function) string { return a.url + "/" + f.http.route.text }
