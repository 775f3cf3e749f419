package ftp_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/ftp"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
)

func TestCloseBeforeTheEnd(t *testing.T) {
	t.Parallel()
	s, config := startSim(t, simftp.Options{})
	if err := s.WriteFile("/a.bin", noise(1<<20), time.Time{}); err != nil {
		t.Fatal(err)
	}
	c, err := ftp.Dial(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Open(t.Context(), "a.bin", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(t.Context()); err == nil {
		t.Error("a command went through while a download is open")
	}
	if err := r.Close(); err == nil {
		t.Error("closed before the end without an error")
	}
	if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("read after close: %v", err)
	}
	if err := c.Ping(t.Context()); !errors.Is(err, ftp.ErrLost) || !c.Broken() {
		t.Errorf("got %v, want a connection that is given up", err)
	}
}

// TestCloseWithoutLookingForTheEnd: who knows the size may read just that.
func TestCloseWithoutLookingForTheEnd(t *testing.T) {
	t.Parallel()
	s, config := startSim(t, simftp.Options{})
	for _, n := range []int{0, 1000} {
		if err := s.WriteFile("/a.bin", noise(n), time.Time{}); err != nil {
			t.Fatal(err)
		}
		c, err := ftp.Dial(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for final, want := range map[string]error{"": nil, "426 aborted": ftp.ErrBusy} {
			s.Script()
			if final != "" {
				s.Script(simftp.Fault{Command: "RETR", Kind: simftp.Final, Reply: final})
			}
			if c.Broken() {
				if c, err = ftp.Dial(t.Context(), config); err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			r, err := c.Open(t.Context(), "a.bin", 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(r, make([]byte, n)); err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); !errors.Is(err, want) {
				t.Errorf("%d bytes, then %q: got %v, want %v", n, final, err, want)
			}
		}
	}
}

// TestStatSparesSize: only right before, since the file may change.
func TestStatSparesSize(t *testing.T) {
	t.Parallel()
	s, config := startSim(t, simftp.Options{})
	if err := s.WriteFile("/a.csv", noise(10), time.Time{}); err != nil {
		t.Fatal(err)
	}
	p := newPool(t, config, 1)
	c, err := p.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.Stat(t.Context(), "a.csv"); err != nil {
			t.Fatal(err)
		}
	}
	fetch(t, c, "a.csv", 0) // no SIZE
	fetch(t, c, "a.csv", 0) // SIZE
	if _, err := c.Stat(t.Context(), "a.csv"); err != nil {
		t.Fatal(err)
	}
	p.Put(c, nil)
	if err := s.WriteFile("/a.csv", noise(20), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if c, err = p.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	fetch(t, c, "a.csv", 0) // SIZE
	p.Put(c, nil)
	sizes := 0
	for _, command := range s.Sessions()[0].Commands {
		if strings.HasPrefix(command, "SIZE") {
			sizes++
		}
	}
	if sizes != 5 {
		t.Errorf("%d SIZE commands, want 5", sizes)
	}
}

func TestPasswordIsNeverShown(t *testing.T) {
	t.Parallel()
	const canary = "canary-7x"
	s, config := startSim(t, simftp.Options{})
	config.Password = settings.NewSecret(canary)
	for _, command := range []string{"USER", "PASS"} {
		s.Script(simftp.Fault{Command: command, Kind: simftp.Answer, Reply: "530 no user with password " + canary})
		_, err := ftp.Dial(t.Context(), config)
		if !errors.Is(err, ftp.ErrDenied) {
			t.Errorf("%s: got %v, want ErrDenied", command, err)
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, canary) {
				t.Errorf("%s: the password is in %s", command, text)
			}
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", config, config, config); strings.Contains(text, canary) {
		t.Errorf("the password is in %s", text)
	}
}

func TestPathsThatCannotBeSaid(t *testing.T) {
	t.Parallel()
	s, config := startSim(t, simftp.Options{})
	c, err := ftp.Dial(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, name := range []string{"a\r\nDELE b", "a\nb", "a\x00b"} {
		_, listErr := c.List(t.Context(), name)
		_, openErr := c.Open(t.Context(), name, 0)
		_, statErr := c.Stat(t.Context(), name)
		for _, err := range []error{listErr, openErr, statErr, c.Delete(t.Context(), name), c.MakeDir(t.Context(), name),
			c.Rename(t.Context(), name, "b"), c.Rename(t.Context(), "b", name)} {
			if !errors.Is(err, ftp.ErrBadName) {
				t.Errorf("%q: got %v, want ErrBadName", name, err)
			}
		}
	}
	for _, session := range s.Sessions() {
		if all := strings.Join(session.Commands, "\n"); strings.Contains(all, "DELE") {
			t.Errorf("a command was smuggled in: %s", all)
		}
	}
}
