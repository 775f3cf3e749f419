package ftp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/ftp"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
)

// patience is long beyond any IdleTimeout here: an operation that reaches it has hung.
const patience = time.Minute

// everything does each operation once; the first error ends it.
func everything(ctx context.Context, config ftp.Config, want []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the operation hung"))
	defer cancel()
	c, err := ftp.Dial(ctx, config)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.List(ctx, "in"); err != nil {
		return err
	}
	if _, err := c.Stat(ctx, "in/a.bin"); err != nil {
		return err
	}
	r, err := c.Open(ctx, "in/a.bin", 0)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(r)
	if closed := r.Close(); !errors.Is(closed, err) {
		return fmt.Errorf("read says %v, close says %v", err, closed)
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%d other bytes without an error", len(got))
	}
	for _, step := range []func() error{
		func() error { return c.MakeDir(ctx, "done") },
		func() error { return c.Rename(ctx, "in/a.bin", "done/a.bin") },
		func() error { return c.Delete(ctx, "done/a.bin") },
		func() error { return c.Ping(ctx) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// tryFault makes one thing go wrong and then checks that the next connection finds all well.
func tryFault(t *testing.T, o simftp.Options, config func(*ftp.Config), fault simftp.Fault) error {
	t.Helper()
	s, cfg := startSim(t, o)
	if config != nil {
		config(&cfg)
	}
	data := noise(200_000)
	if err := s.WriteFile("/in/a.bin", data, time.Time{}); err != nil {
		t.Fatal(err)
	}
	s.Script(fault)
	failed := everything(t.Context(), cfg, data)
	if errors.Is(failed, io.EOF) || errors.Is(failed, context.DeadlineExceeded) {
		t.Errorf("%v may be taken for a good end or for the end of the context", failed)
	}
	s.Script()
	if err := s.WriteFile("/in/a.bin", data, time.Time{}); err != nil {
		t.Fatal(err)
	}
	cfg.IdleTimeout = 0
	if err := everything(t.Context(), cfg, data); err != nil {
		t.Errorf("after the fault: %v", err)
	}
	return failed
}

// spoken lists what a session says, in order; CONNECT stands for the greeting.
func spoken() []string {
	return []string{"CONNECT", "AUTH", "USER", "PASS", "FEAT", "TYPE", "OPTS", "PBSZ", "PROT", "PWD", "CWD", "EPSV", "MLSD",
		"SIZE", "MDTM", "RETR", "MKD", "RNFR", "RNTO", "DELE", "NOOP"}
}

func TestServerFailsAtEachCommand(t *testing.T) {
	t.Parallel()
	for _, command := range spoken() {
		t.Run(command+" dies", func(t *testing.T) {
			t.Parallel()
			err := tryFault(t, simftp.Options{}, nil, simftp.Fault{Command: command, Kind: simftp.Die})
			if !errors.Is(err, ftp.ErrLost) {
				t.Errorf("got %v, want ErrLost", err)
			}
		})
		t.Run(command+" gets 421", func(t *testing.T) {
			t.Parallel()
			err := tryFault(t, simftp.Options{}, nil, simftp.Fault{Command: command, Kind: simftp.Answer, Reply: "421 shutting down"})
			var e *ftp.Error
			if !errors.Is(err, ftp.ErrBusy) || !errors.As(err, &e) || e.Code != 421 || e.Message != "shutting down" {
				t.Errorf("got %v, want ErrBusy with the reply", err)
			}
		})
	}
}

func TestServerFallsSilentAtEachCommand(t *testing.T) {
	t.Parallel()
	data := noise(1000)
	var waits sync.WaitGroup
	for _, command := range spoken() {
		s, config := startSim(t, simftp.Options{})
		if err := s.WriteFile("/in/a.bin", data, time.Time{}); err != nil {
			t.Fatal(err)
		}
		config.IdleTimeout = 3 * time.Second
		s.Script(simftp.Fault{Command: command, Kind: simftp.Silent})
		named := strings.Replace(command, "CONNECT", "greeting", 1)
		waits.Go(func() { // all at once: each waits IdleTimeout
			if err := everything(t.Context(), config, data); !errors.Is(err, ftp.ErrTimeout) || !strings.Contains(err.Error(), named) {
				t.Errorf("%s: got %v, want ErrTimeout that names it", command, err)
			}
		})
	}
	waits.Wait()
}

func TestTransferFails(t *testing.T) {
	t.Parallel()
	const half = 100_000
	rows := []struct {
		name  string
		fault simftp.Fault
		want  error
		op    string
	}{
		{"dies in the middle", simftp.Fault{Command: "RETR", Kind: simftp.Die, After: half}, ftp.ErrLost, "read"},
		{"falls silent in the middle", simftp.Fault{Command: "RETR", Kind: simftp.Silent, After: half}, ftp.ErrTimeout, "read"},
		{"ends early and says all is well", simftp.Fault{Command: "RETR", Kind: simftp.Short, After: half}, ftp.ErrChanged, "read"},
		{"sends nothing and says all is well", simftp.Fault{Command: "RETR", Kind: simftp.Short}, ftp.ErrChanged, "read"},
		{"all bytes, then 426", simftp.Fault{Command: "RETR", Kind: simftp.Final, Reply: "426 aborted"}, ftp.ErrBusy, "read"},
		{"all bytes, then 451", simftp.Fault{Command: "RETR", Kind: simftp.Final, Reply: "451 disk error"}, ftp.ErrBusy, "read"},
		{"all bytes, then 550", simftp.Fault{Command: "RETR", Kind: simftp.Final, Reply: "550 permission denied"}, ftp.ErrForbidden, "read"},
		{"all bytes, then garbage", simftp.Fault{Command: "RETR", Kind: simftp.Final, Reply: "ok"}, nil, "read"},
		{"no data connection", simftp.Fault{Command: "RETR", Kind: simftp.Answer, Reply: "425 no data connection"}, ftp.ErrBusy, "open"},
		{"aborted at once", simftp.Fault{Command: "RETR", Kind: simftp.Answer, Reply: "426 aborted"}, ftp.ErrBusy, "open"},
		{"locked", simftp.Fault{Command: "RETR", Kind: simftp.Answer, Reply: "450 busy"}, ftp.ErrBusy, "open"},
		{"local error", simftp.Fault{Command: "RETR", Kind: simftp.Answer, Reply: "451 read error"}, ftp.ErrBusy, "open"},
		{"gone", simftp.Fault{Command: "RETR", Kind: simftp.Answer, Reply: "550 No such file"}, ftp.ErrNotFound, "open"},
		{"550 for a file with a size", simftp.Fault{Command: "RETR", Kind: simftp.Answer, Reply: "550 Failed to open file."}, ftp.ErrForbidden, "open"},
		{"550 of IIS for a file being written", simftp.Fault{Command: "RETR", Kind: simftp.Answer,
			Reply: "550 The process cannot access the file because it is being used by another process."}, ftp.ErrBusy, "open"},
		{"data promised, none sent", simftp.Fault{Command: "RETR", Kind: simftp.Answer, Reply: "226 done"}, nil, "open"},
		{"MLSD announced, but not there", simftp.Fault{Command: "MLSD", Kind: simftp.Answer, Reply: "502 not implemented"}, ftp.ErrUnsupported, "list"},
		{"listing, then 426", simftp.Fault{Command: "MLSD", Kind: simftp.Final, Reply: "426 aborted"}, ftp.ErrBusy, "list"},
		{"listing refused", simftp.Fault{Command: "MLSD", Kind: simftp.Answer, Reply: "550 permission denied"}, ftp.ErrForbidden, "list"},
		{"no listing now", simftp.Fault{Command: "MLSD", Kind: simftp.Answer, Reply: "450 busy"}, ftp.ErrBusy, "list"},
		{"folder gone", simftp.Fault{Command: "CWD", Kind: simftp.Answer, Reply: "550 Failed to change directory."}, ftp.ErrNotFound, "list"},
	}
	for security, o := range map[string]simftp.Options{"explicit": {}, "implicit": {Implicit: true}, "cleartext": {NoTLS: true}} {
		for _, row := range rows {
			t.Run(security+": "+row.name, func(t *testing.T) {
				t.Parallel()
				err := tryFault(t, o, func(c *ftp.Config) {
					c.Security = ftp.Security(security)
					if row.fault.Kind == simftp.Silent {
						c.IdleTimeout = 2 * time.Second
					}
				}, row.fault)
				var e *ftp.Error
				if !errors.As(err, &e) || e.Op != row.op || row.want != nil && !errors.Is(err, row.want) {
					t.Errorf("got %v, want %v at %s", err, row.want, row.op)
				}
			})
		}
	}
}

func TestOddButFine(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]simftp.Fault{
		"250 instead of 226 after a file":    {Command: "RETR", Kind: simftp.Final, Reply: "250 done"},
		"250 instead of 226 after a listing": {Command: "MLSD", Kind: simftp.Final, Reply: "250 done"},
		"no EPSV":                            {Command: "EPSV", Kind: simftp.Answer, Reply: "500 unknown"},
		"EPSV with nonsense":                 {Command: "EPSV", Kind: simftp.Answer, Reply: "229 ok"},
		"no FEAT":                            {Command: "FEAT", Kind: simftp.Answer, Reply: "500 unknown"},
		"no SIZE":                            {Command: "SIZE", Kind: simftp.Answer, Reply: "502 not implemented"},
		"no MDTM":                            {Command: "MDTM", Kind: simftp.Answer, Reply: "502 not implemented"},
		"no PWD":                             {Command: "PWD", Kind: simftp.Answer, Reply: "502 not implemented"},
		"PWD of another kind":                {Command: "PWD", Kind: simftp.Answer, Reply: `257 "DISK$USER:[IN]" is current`},
		"202 to OPTS UTF8":                   {Command: "OPTS", Kind: simftp.Answer, Reply: "202 always on"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := tryFault(t, simftp.Options{}, nil, fault); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBare550: after a 550 that could mean anything, the file's size tells whether it is there.
func TestBare550(t *testing.T) {
	t.Parallel()
	s, config := startSim(t, simftp.Options{})
	if err := s.WriteFile("/a.csv", nil, time.Time{}); err != nil {
		t.Fatal(err)
	}
	s.Script(simftp.Fault{Command: "DELE", Kind: simftp.Answer, Reply: "550 Delete operation failed."},
		simftp.Fault{Command: "RNFR", Kind: simftp.Answer, Reply: "550 RNFR command failed."})
	c, err := ftp.Dial(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for name, want := range map[string]error{"a.csv": ftp.ErrForbidden, "b.csv": ftp.ErrNotFound} {
		if err := c.Delete(t.Context(), name); !errors.Is(err, want) {
			t.Errorf("delete %s: got %v, want %v", name, err, want)
		}
		if err := c.Rename(t.Context(), name, "c.csv"); !errors.Is(err, want) {
			t.Errorf("rename %s: got %v, want %v", name, err, want)
		}
	}
	s.Script(simftp.Fault{Command: "RNTO", Kind: simftp.Answer, Reply: "550 Rename failed: No such file or directory"})
	if err := c.Rename(t.Context(), "a.csv", "no such folder/a.csv"); !errors.Is(err, ftp.ErrForbidden) {
		t.Errorf("got %v, want ErrForbidden: the file is there, the folder is not", err)
	}
	s.Script(simftp.Fault{Command: "DELE", Kind: simftp.Answer, Reply: "550 Delete operation failed."},
		simftp.Fault{Command: "SIZE", Kind: simftp.Die})
	if err := c.Delete(t.Context(), "a.csv"); !errors.Is(err, ftp.ErrLost) {
		t.Errorf("got %v, want ErrLost: nobody knows whether the file is there", err)
	}
}

func TestBogusPassiveAddress(t *testing.T) {
	t.Parallel()
	s, config := startSim(t, simftp.Options{PassiveHost: "10.9.8.7"})
	config.DisableEPSV = true
	data := noise(1000)
	if err := s.WriteFile("/in/a.bin", data, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := everything(t.Context(), config, data); err != nil {
		t.Error(err)
	}
}

func TestBreakIsSeenWithoutSize(t *testing.T) {
	t.Parallel()
	s, config := startSim(t, simftp.Options{})
	if err := s.WriteFile("/a.bin", noise(200_000), time.Time{}); err != nil {
		t.Fatal(err)
	}
	s.Script(simftp.Fault{Command: "SIZE", Kind: simftp.Answer, Reply: "500 unknown"},
		simftp.Fault{Command: "RETR", Kind: simftp.Die, After: 100_000})
	c, err := ftp.Dial(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if data, err := read(t, c, "a.bin", 0); !errors.Is(err, ftp.ErrLost) {
		t.Errorf("%d bytes, %v, want ErrLost", len(data), err)
	}
}

func TestNoRestart(t *testing.T) {
	t.Parallel()
	s, config := startSim(t, simftp.Options{})
	if err := s.WriteFile("/a.bin", noise(1000), time.Time{}); err != nil {
		t.Fatal(err)
	}
	s.Script(simftp.Fault{Command: "REST", Kind: simftp.Answer, Reply: "502 REST not implemented"})
	c, err := ftp.Dial(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Open(t.Context(), "a.bin", 10); !errors.Is(err, ftp.ErrUnsupported) {
		t.Errorf("got %v, want ErrUnsupported", err)
	}
	if got := fetch(t, c, "a.bin", 0); len(got) != 1000 {
		t.Errorf("%d bytes", len(got))
	}
}

func TestFileGrowsWhileRead(t *testing.T) {
	t.Parallel()
	var s *simftp.Server
	var config ftp.Config
	s, config = startSim(t, simftp.Options{OnCommand: func(verb, _ string) {
		if verb == "RETR" {
			s.WriteFile("/a.csv", []byte("longer than before"), time.Time{})
		}
	}})
	if err := s.WriteFile("/a.csv", []byte("short"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	c, err := ftp.Dial(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if data, err := read(t, c, "a.csv", 0); !errors.Is(err, ftp.ErrChanged) {
		t.Errorf("%q, %v, want ErrChanged", data, err)
	}
}

func TestCancelEndsAnyWait(t *testing.T) {
	t.Parallel()
	reason := errors.New("the lease was lost")
	for _, command := range []string{"CONNECT", "PASS", "MLSD", "RETR"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			o := simftp.Options{OnCommand: func(verb, _ string) {
				if verb == command {
					cancel(reason)
				}
			}}
			s, config := startSim(t, o)
			s.Script(simftp.Fault{Command: command, Kind: simftp.Silent})
			if command == "CONNECT" {
				cancel(reason) // nothing is sent that could tell when
			}
			if err := s.WriteFile("/in/a.bin", nil, time.Time{}); err != nil {
				t.Fatal(err)
			}
			if err := everything(ctx, config, nil); !errors.Is(err, reason) {
				t.Errorf("got %v, want the reason of the cancelling", err)
			}
		})
	}
}
