package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// process is a handler started as the Functions host starts it.
type process struct {
	cmd   *exec.Cmd
	url   string
	took  time.Duration // from start to the first answered probe
	ended chan error
	log   *os.File
}

const startLimit = 30 * time.Second

// start runs a handler on a free port and waits for its first answer, probing as often as the host does.
func start(ctx context.Context, binary, dir string, environ []string) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p := &process{url: fmt.Sprintf("http://127.0.0.1:%d", port), ended: make(chan error, 1)}
	// A file, not a pipe: reading the log would be work of this process and spoil the comparison.
	if p.log, err = os.CreateTemp(dir, "log-"); err != nil {
		return nil, fmt.Errorf("make a log: %w", err)
	}
	p.cmd = exec.CommandContext(ctx, binary)
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.Env = append(environ, fmt.Sprintf("FUNCTIONS_CUSTOMHANDLER_PORT=%d", port),
		"FUNCTIONS_APP_ROOT_PATH="+dir, "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"))
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		p.log.Close()
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	if err := p.await(ctx, fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		p.stop()
		return nil, fmt.Errorf("%s: %w\n%s", binary, err, p.tail())
	}
	p.took = time.Since(began)
	return p, nil
}

// await probes until something answers. A connection is tried every millisecond: the host's 25 ms would hide what is measured.
func (p *process) await(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return p.probe(ctx)
		}
		select {
		case err := <-p.ended:
			p.ended <- err
			return fmt.Errorf("ended before it answered: %v", err)
		case <-ctx.Done():
			return errors.New("gave no answer in time")
		case <-tick.C:
		}
	}
}

func (p *process) probe(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// invoke posts a payload to a function and returns what came back; only a 200 is success.
func (p *process) invoke(ctx context.Context, function string, payload []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/"+function, bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	req.ContentLength = -1 // chunked, as the host sends it
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("X-Azure-Functions-InvocationId", "00000000-0000-0000-0000-000000000001")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("invoke %s: %s: %s\n%s", function, resp.Status, body, p.tail())
	}
	return body, err
}

func (p *process) stop() {
	p.cmd.Process.Kill()
	err := <-p.ended
	p.ended <- err
	p.log.Close()
}

// tail is the end of what the process logged.
func (p *process) tail() []byte {
	data, err := os.ReadFile(p.log.Name())
	if err != nil {
		return []byte(err.Error())
	}
	return data[max(0, len(data)-4<<10):]
}

// memory reads a line such as VmRSS (now) or VmHWM (most so far) of a live process, in bytes. Only Linux tells.
func (p *process) memory(line string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of a process (Linux only): %w", err)
	}
	for text := range strings.Lines(string(status)) {
		if name, value, _ := strings.Cut(text, ":"); name == line {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("read the memory of a process: no line %s", line)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
