// Package winrmtest lets a simulated server do what package winrm's own scripts do on a real one.
package winrmtest

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// detachedHash is that of the text of detached.ps1 that Detached emulates.
const detachedHash = "643f37b8a2206924c470235d25ca2e672b0cfeba8deb5881bc8f488cb103ad3e"

// Runs is the folder of detached runs on the server.
const Runs = `C:\ProgramData\Nightshift\runs`

// Detached emulates winrm.DetachedScript on one server. Whatever else runs there must be emulated too.
type Detached struct {
	lock sync.Mutex
	kill map[string]context.CancelFunc // of runs under way
}

// Emulate makes server able to do RunDetached.
func Emulate(server *simwinrm.Server) *Detached {
	d := &Detached{kill: map[string]context.CancelFunc{}}
	server.Emulate(winrm.DetachedScript().Name, detachedHash, d.run)
	return d
}

// Kill ends a run without an exit code, as a restart of Windows does. It is false where there is no such run.
func (d *Detached) Kill(key string) bool {
	d.lock.Lock()
	defer d.lock.Unlock()
	kill, ok := d.kill[key]
	if ok {
		kill()
		delete(d.kill, key)
	}
	return ok
}

// order is what the script takes.
type order struct {
	Action, Key, Task, Nonce, Command string
	Offset                            int64
	WaitSeconds                       int
}

func (o order) path(name string) string { return Runs + `\` + o.Key + `\` + name }

const maxBytes = 196608

func (d *Detached) run(ctx context.Context, c *simwinrm.Call) error {
	var o order
	if err := c.Decode(&o); err != nil {
		return err
	}
	if err := d.obey(c, o); err != nil {
		return err
	}
	limit := time.NewTimer(time.Duration(o.WaitSeconds) * time.Second)
	defer limit.Stop()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for o.Action == "follow" && state(c.Drive, o) == "running" && size(c.Drive, o.path("out")) <= o.Offset {
		select {
		case <-poll.C:
			continue
		case <-limit.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		break
	}
	report, err := report(c.Drive, o)
	if err != nil {
		return err
	}
	return c.Result(report)
}

func (d *Detached) obey(c *simwinrm.Call, o order) error {
	d.lock.Lock()
	defer d.lock.Unlock()
	switch o.Action {
	case "start":
		if s := state(c.Drive, o); s == "none" || s == "lost" {
			return d.start(c, o)
		}
	case "forget":
		if state(c.Drive, o) != "running" {
			return c.Drive.RemoveAll(Runs + `\` + o.Key)
		}
	}
	return nil
}

// start needs d.lock.
func (d *Detached) start(c *simwinrm.Call, o order) error {
	for _, name := range []string{"exit", "out", "err", "task", "nonce"} {
		if err := c.Drive.Remove(o.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := c.Drive.WriteFile(o.path("nonce"), []byte(o.Nonce)); err != nil {
		return err
	}
	if err := c.Drive.WriteFile(o.path("task"), []byte(o.Task)); err != nil {
		return err
	}
	out, err := c.Drive.Create(o.path("out"))
	if err != nil {
		return err
	}
	release := c.Drive.Hold(o.path("out"))
	began := make(chan struct{})
	err = c.Detach(func(ctx context.Context) {
		defer release()
		defer out.Close()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		d.kill[o.Key] = cancel
		close(began)
		d.work(ctx, c, o, out)
	})
	if err != nil {
		release()
		return errors.Join(err, out.Close())
	}
	<-began // d.kill is set while d.lock is held
	return nil
}

// work is the process: what cmd.exe is told on a real server.
func (d *Detached) work(ctx context.Context, c *simwinrm.Call, o order, out *simwinrm.File) {
	var stderr bytes.Buffer
	exit := c.Run(ctx, o.Command, strings.NewReader(o.Task), living{ctx, out}, &stderr)
	d.lock.Lock()
	defer d.lock.Unlock()
	if ctx.Err() != nil {
		return
	}
	delete(d.kill, o.Key)
	c.Drive.WriteFile(o.path("err"), stderr.Bytes()) // a full disk loses it on a real server too
	// Whole at once: whoever follows the run may look in between.
	c.Drive.WriteFile(o.path("exit.part"), fmt.Appendf(nil, "%d\r\n", int32(exit)))
	c.Drive.Rename(o.path("exit.part"), o.path("exit"), true)
	c.Drive.Remove(o.path("task"))
}

// living is the output of a process, which writes nothing once it has been killed.
type living struct {
	ctx context.Context
	io.Writer
}

func (l living) Write(p []byte) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	return l.Writer.Write(p)
}

func exists(d *simwinrm.Drive, path string) bool {
	_, err := d.Stat(path)
	return err == nil
}

func size(d *simwinrm.Drive, path string) int64 {
	info, err := d.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// locked tells whether a process has the file open for writing.
func locked(d *simwinrm.Drive, path string) bool {
	if !exists(d, path) {
		return false
	}
	f, err := d.Append(path)
	if err != nil {
		return true
	}
	f.Close()
	return false
}

func state(d *simwinrm.Drive, o order) string {
	running := locked(d, o.path("out"))
	switch {
	case exists(d, o.path("exit")):
		return "ended"
	case running:
		return "running"
	case exists(d, o.path("out")):
		return "lost"
	}
	return "none"
}

func report(d *simwinrm.Drive, o order) (map[string]any, error) {
	r := map[string]any{"state": state(d, o), "nonce": "", "out": "", "err": "", "offset": o.Offset, "exit": 0}
	if r["state"] == "none" {
		return r, nil
	}
	nonce, err := d.ReadFile(o.path("nonce"))
	if err != nil {
		return nil, err
	}
	out, err := d.ReadFile(o.path("out"))
	if err != nil {
		return nil, err
	}
	from := min(o.Offset, int64(len(out)))
	part := out[from:min(from+maxBytes, int64(len(out)))]
	next := from + int64(len(part))
	r["nonce"], r["out"], r["offset"] = string(nonce), base64.StdEncoding.EncodeToString(part), next
	switch {
	case r["state"] != "running" && next < int64(len(out)):
		r["state"] = "running"
	case r["state"] == "ended":
		text, err := d.ReadFile(o.path("exit"))
		if err != nil {
			return nil, err
		}
		if r["exit"], err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
			return nil, err
		}
		if stderr, err := d.ReadFile(o.path("err")); err == nil {
			r["err"] = base64.StdEncoding.EncodeToString(stderr[:min(len(stderr), maxBytes)])
		}
	}
	return r, nil
}
