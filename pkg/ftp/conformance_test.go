package ftp_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nightshift-hq/nightshift/pkg/ftp"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
	"github.com/nightshift-hq/nightshift/pkg/sim/ftpd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// target is a server that the conformance suite runs against.
type target struct {
	name       string
	config     ftp.Config // explicit TLS, unless the server has no other than another
	onlyOneWay bool       // Security cannot be varied
	pin        string     // of its key
	dir        string     // what the user sees as /
	put        func(name string, data []byte, modTime time.Time) error
	precise    bool // has MLSD
	hides      int  // of the names with control characters, how many the server itself keeps out of listings
}

func caFile(t testing.TB, pem []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func daemonTarget(t testing.TB, kind ftpd.Kind) target {
	t.Helper()
	s := ftpd.Require(t, kind)
	hides := 0
	if kind == ftpd.PureFTPd {
		hides = 3
	}
	return target{
		name:    string(kind),
		hides:   hides,
		config:  ftp.Config{Server: s.Addr, Username: ftpd.Username, Password: settings.NewSecret(ftpd.Password), CAFile: caFile(t, s.CertPEM)},
		pin:     s.Pin,
		dir:     s.Dir,
		put:     s.WriteFile,
		precise: kind != ftpd.VsFTPd,
	}
}

func simTarget(t testing.TB, o simftp.Options) target {
	t.Helper()
	o.Dir = t.TempDir()
	s, config := startSim(t, o)
	return target{name: "sim", config: config, onlyOneWay: o.Implicit, pin: s.Pin(), dir: o.Dir, put: s.WriteFile, precise: !o.NoMLSD}
}

// startSim starts a simulator and says how to reach it.
func startSim(t testing.TB, o simftp.Options) (*simftp.Server, ftp.Config) {
	t.Helper()
	s, err := simftp.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	config := ftp.Config{Server: s.Addr(), Username: "user", Password: settings.NewSecret("password"), CAFile: caFile(t, s.CertPEM())}
	if o.Implicit {
		config.Security = ftp.Implicit
	}
	return s, config
}

func TestConformance(t *testing.T) {
	t.Parallel()
	targets := map[string]func(t *testing.T) target{
		"sim":          func(t *testing.T) target { return simTarget(t, simftp.Options{RequireTLS: false, RequireReuse: true}) },
		"sim implicit": func(t *testing.T) target { return simTarget(t, simftp.Options{Implicit: true, RequireReuse: true}) },
		"sim LIST":     func(t *testing.T) target { return simTarget(t, simftp.Options{NoMLSD: true, RequireReuse: true}) },
		"pure-ftpd":    func(t *testing.T) target { return daemonTarget(t, ftpd.PureFTPd) },
		"vsftpd":       func(t *testing.T) target { return daemonTarget(t, ftpd.VsFTPd) },
		"proftpd":      func(t *testing.T) target { return daemonTarget(t, ftpd.ProFTPd) },
	}
	for name, start := range targets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conform(t, start(t))
		})
	}
}

// conform is what every server and the client must do together.
func conform(t *testing.T, s target) {
	t.Run("wrong password is denied", s.wrongPassword)
	t.Run("TLS 1.2, TLS 1.3 and clear text", s.everySecurity)
	t.Run("2,000 files are listed", s.manyFiles)
	t.Run("odd names arrive or are reported", s.oddNames)
	t.Run("times and sizes are true", s.times)
	t.Run("folders are walked", s.walk)
	t.Run("links and devices are told from files", s.notFiles)
	t.Run("what is not there is not found", s.missing)
	t.Run("empty file and empty folder", s.empty)
	t.Run("download resumes anywhere", s.resume)
	t.Run("delete, rename into archive, make folders", s.change)
	t.Run("64 MB arrive unchanged", s.big)
	for _, n := range []int{4, 8} {
		t.Run(fmt.Sprintf("pool of %d", n), func(t *testing.T) { s.pool(t, n) })
	}
}

func (s target) dial(t *testing.T) *ftp.Conn {
	t.Helper()
	c, err := ftp.Dial(t.Context(), s.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (s target) mustPut(t testing.TB, name string, data []byte, modTime time.Time) {
	t.Helper()
	if err := s.put(name, data, modTime); err != nil {
		t.Fatal(err)
	}
}

func fetch(t testing.TB, c *ftp.Conn, name string, offset int64) []byte {
	t.Helper()
	data, err := read(t, c, name, offset)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func read(t testing.TB, c *ftp.Conn, name string, offset int64) ([]byte, error) {
	t.Helper()
	r, err := c.Open(t.Context(), name, offset)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// noise is reproducible content that does not compress.
func noise(n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(data)
	return data
}

func (s target) wrongPassword(t *testing.T) {
	config := s.config
	config.Password = settings.NewSecret("canary-7x")
	c, err := ftp.Dial(t.Context(), config)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, ftp.ErrDenied) {
		t.Errorf("got %v, want ErrDenied", err)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "canary-7x") {
		t.Errorf("the password is in the error: %v", err)
	}
}

func (s target) everySecurity(t *testing.T) {
	data := noise(100_000)
	s.mustPut(t, "security/a.bin", data, time.Time{})
	tries := map[string]func(*ftp.Config){
		"TLS 1.3": func(c *ftp.Config) {},
		"TLS 1.2": func(c *ftp.Config) { c.DisableTLS13 = true },
		"PASV":    func(c *ftp.Config) { c.DisableEPSV = true },
		"LIST":    func(c *ftp.Config) { c.DisableMLSD = true },
	}
	tries["pin"] = func(c *ftp.Config) { c.CAFile, c.Pin = "", s.pin }
	if !s.onlyOneWay {
		tries["clear text"] = func(c *ftp.Config) { c.Security = ftp.Cleartext }
	}
	for name, change := range tries {
		t.Run(name, func(t *testing.T) {
			s := s
			change(&s.config)
			c := s.dial(t)
			for range 3 { // a TLS session must be resumed again and again
				entries, err := c.List(t.Context(), "security")
				if err != nil || len(entries) != 1 || entries[0].Name != "a.bin" {
					t.Fatalf("list: %v, %v", entries, err)
				}
				if got := fetch(t, c, "security/a.bin", 0); !bytes.Equal(got, data) {
					t.Fatalf("got %d other bytes", len(got))
				}
			}
		})
	}
}

func (s target) manyFiles(t *testing.T) {
	const n = 2000
	for i := range n {
		s.mustPut(t, fmt.Sprintf("many/file %04d.csv", i), []byte(fmt.Sprint(i)), time.Time{})
	}
	entries, err := s.dial(t).List(t.Context(), "many")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if e.Problem != nil || e.Kind != ftp.File || e.Size < 1 || e.Size > 4 {
			t.Fatalf("entry %+v", e)
		}
		seen[e.Path] = true
	}
	if len(entries) != n || len(seen) != n {
		t.Errorf("%d entries, %d names, want %d", len(entries), len(seen), n)
	}
}

func (s target) oddNames(t *testing.T) {
	good := []string{
		"ümläut – 文件.csv", "two  spaces.csv", " leading.csv", "[glob]*.csv", "-rf", "#hash%20%s.csv", "quote\".csv",
		"semi;colon=x.csv", "~tilde", "a -> b.csv", "$(x)`y`'.csv", "a.b.c..csv", strings.Repeat("n", 251) + ".csv",
	}
	bad := []string{"line\nbreak.csv", "carriage\rreturn.csv", "bell\a.csv", "back\\slash.csv", "latin1-\xe4.csv"}
	for _, name := range append(good, bad...) {
		s.mustPut(t, "odd/"+name, []byte("content of "+name), time.Time{})
	}
	c := s.dial(t)
	entries, err := c.List(t.Context(), "odd")
	if err != nil {
		t.Fatal(err)
	}
	usable, problems := map[string]bool{}, 0
	for _, e := range entries {
		switch {
		case e.Problem != nil:
			problems++
			t.Logf("reported: %v", e.Problem)
			if e.Path != "" || !errors.Is(e.Problem, ftp.ErrBadName) && !errors.Is(e.Problem, ftp.ErrLostLines) {
				t.Errorf("problem without class, or with a path: %+v", e)
			}
		default:
			usable[e.Name] = true
		}
	}
	for _, name := range good {
		if !usable[name] {
			t.Errorf("name %q is not listed: %q", name, slices.Collect(maps.Keys(usable)))
			continue
		}
		if got, err := read(t, c, "odd/"+name, 0); err != nil || string(got) != "content of "+name {
			t.Errorf("read %q: %q, %v", name, got, err)
		}
	}
	if len(entries) < len(good)+len(bad)-s.hides {
		t.Errorf("%d entries for %d files: %q", len(entries), len(good)+len(bad), slices.Collect(maps.Keys(usable)))
	}
	t.Logf("%d entries, %d with a problem", len(entries), problems)
}

func (s target) times(t *testing.T) {
	old := time.Date(2019, 2, 3, 4, 5, 6, 0, time.UTC)
	recent := time.Now().Add(-36 * time.Hour).UTC().Truncate(time.Second)
	s.mustPut(t, "times/old.csv", []byte("12345"), old)
	s.mustPut(t, "times/recent.csv", []byte("123"), recent)
	c := s.dial(t)
	want := map[string]time.Time{"old.csv": old, "recent.csv": recent}
	entries, err := c.List(t.Context(), "times")
	if err != nil || len(entries) != 2 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		if e.Precise != s.precise {
			t.Errorf("%s: precise is %v", e.Name, e.Precise)
		}
		off := e.ModTime.Sub(want[e.Name]).Abs()
		if e.Precise && off != 0 || off >= 24*time.Hour || e.Name == "recent.csv" && off >= time.Minute {
			t.Errorf("%s: listed %v, want %v", e.Name, e.ModTime, want[e.Name])
		}
		exact, err := c.Stat(t.Context(), "times/"+e.Name)
		if err != nil || !exact.Precise || !exact.ModTime.Equal(want[e.Name]) || exact.Size != e.Size {
			t.Errorf("stat %s: %+v, %v", e.Name, exact, err)
		}
	}
}

func (s target) walk(t *testing.T) {
	for _, name := range []string{"walk/a.csv", "walk/one/b.csv", "walk/one/two words/c.csv", "walk/one/two words/three/d.csv"} {
		s.mustPut(t, name, []byte("x"), time.Time{})
	}
	c := s.dial(t)
	for depth, want := range []string{
		"a.csv one/",
		"a.csv one/ one/b.csv one/two words/",
		"a.csv one/ one/b.csv one/two words/ one/two words/c.csv one/two words/three/",
	} {
		got := map[string]bool{}
		for e, err := range c.Walk(t.Context(), "/walk/", depth) {
			if err != nil || e.Problem != nil {
				t.Fatal(e, err)
			}
			name := e.Path
			if e.Kind == ftp.Dir {
				name += "/"
			}
			got[name] = true
		}
		wanted := strings.Split(strings.ReplaceAll(strings.ReplaceAll(want, "two words", "two|words"), " ", "\n"), "\n")
		for _, name := range wanted {
			if name = strings.ReplaceAll(name, "|", " "); !got[name] {
				t.Errorf("depth %d: %q is missing in %q", depth, name, slices.Collect(maps.Keys(got)))
			}
		}
		if len(got) != len(wanted) {
			t.Errorf("depth %d: %q, want %q", depth, slices.Collect(maps.Keys(got)), wanted)
		}
	}
	for range c.Walk(t.Context(), "walk", -1) {
		break // a walk may be left at any point
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// notFiles: what a link is shown as is the server's choice (its own kind, or what it leads to), but nothing else may look
// like a file, and none may vanish without a trace from the count.
func (s target) notFiles(t *testing.T) {
	s.mustPut(t, "kinds/file.csv", []byte("12345"), time.Time{})
	dir := filepath.Join(s.dir, "kinds")
	for name, leads := range map[string]string{"to file": "file.csv", "to folder": ".", "dangling": "nowhere"} {
		if err := os.Symlink(leads, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	c := s.dial(t)
	entries, err := c.List(t.Context(), "kinds")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]ftp.Entry{}
	for _, e := range entries {
		got[e.Name] = e
	}
	if e := got["file.csv"]; e.Kind != ftp.File || e.Size != 5 {
		t.Errorf("file: %+v", e)
	}
	if e := got["to file"]; e.Kind != ftp.Link && e.Kind != ftp.File {
		t.Errorf("link to a file: %+v", e)
	}
	if e := got["to folder"]; e.Kind != ftp.Link && e.Kind != ftp.Dir {
		t.Errorf("link to a folder: %+v", e)
	}
	for range c.Walk(t.Context(), "kinds", -1) { // a link to the folder itself must not be followed for ever
	}
}

func (s target) missing(t *testing.T) {
	c := s.dial(t)
	if entries, err := c.List(t.Context(), "no such folder"); !errors.Is(err, ftp.ErrNotFound) {
		t.Errorf("list: %v, %v, want ErrNotFound", entries, err)
	}
	if _, err := c.Open(t.Context(), "no such file", 0); !errors.Is(err, ftp.ErrNotFound) {
		t.Errorf("open: %v, want ErrNotFound", err)
	}
	if _, err := c.Stat(t.Context(), "no such file"); !errors.Is(err, ftp.ErrNotFound) {
		t.Errorf("stat: %v, want ErrNotFound", err)
	}
	if err := c.Delete(t.Context(), "no such file"); !errors.Is(err, ftp.ErrNotFound) {
		t.Errorf("delete: %v, want ErrNotFound", err)
	}
	if err := c.Rename(t.Context(), "no such file", "other"); !errors.Is(err, ftp.ErrNotFound) {
		t.Errorf("rename: %v, want ErrNotFound", err)
	}
	if c.Broken() {
		t.Error("the connection is given up although nothing happened to it")
	}
}

func (s target) empty(t *testing.T) {
	s.mustPut(t, "empty/zero.csv", nil, time.Time{})
	c := s.dial(t)
	if got := fetch(t, c, "empty/zero.csv", 0); len(got) != 0 {
		t.Errorf("%d bytes", len(got))
	}
	if err := c.MakeDir(t.Context(), "empty/folder"); err != nil {
		t.Fatal(err)
	}
	if entries, err := c.List(t.Context(), "empty/folder"); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
	if entries, err := c.List(t.Context(), "empty"); err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
}

func (s target) resume(t *testing.T) {
	data := noise(300_000)
	s.mustPut(t, "resume/a.bin", data, time.Time{})
	c := s.dial(t)
	for _, offset := range []int{1, 65536, 299_999, 300_000} {
		if got := fetch(t, c, "resume/a.bin", int64(offset)); !bytes.Equal(got, data[offset:]) {
			t.Errorf("from %d: %d bytes", offset, len(got))
		}
	}
	if _, err := c.Open(t.Context(), "resume/a.bin", 300_001); !errors.Is(err, ftp.ErrChanged) {
		t.Errorf("beyond the end: %v, want ErrChanged", err)
	}
}

func (s target) change(t *testing.T) {
	s.mustPut(t, "change/a.csv", []byte("a"), time.Time{})
	s.mustPut(t, "change/b.csv", []byte("b"), time.Time{})
	c := s.dial(t)
	for range 2 {
		if err := c.MakeDir(t.Context(), "change/archive/2026/11"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Rename(t.Context(), "change/a.csv", "change/archive/2026/11/a.csv"); err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, c, "change/archive/2026/11/a.csv", 0); string(got) != "a" {
		t.Errorf("got %q", got)
	}
	if err := c.Delete(t.Context(), "change/b.csv"); err != nil {
		t.Fatal(err)
	}
	entries, err := c.List(t.Context(), "change")
	if err != nil || len(entries) != 1 || entries[0].Kind != ftp.Dir {
		t.Errorf("%v, %v", entries, err)
	}
}

func (s target) big(t *testing.T) {
	data := noise(64 << 20)
	s.mustPut(t, "big.bin", data, time.Time{})
	r, err := s.dial(t).Open(t.Context(), "big.bin", 0)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	if err := errors.Join(err, r.Close()); err != nil || n != int64(len(data)) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if want := sha256.Sum256(data); !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Error("another hash")
	}
}

func (s target) pool(t *testing.T, n int) {
	const files = 40
	for i := range files {
		s.mustPut(t, fmt.Sprintf("pool/%d.csv", i), noise(10_000+i), time.Time{})
	}
	p := ftp.NewPool(s.config, n)
	defer p.Close()
	var wg sync.WaitGroup
	for i := range files {
		wg.Go(func() {
			c, err := p.Get(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			data, err := read(t, c, fmt.Sprintf("pool/%d.csv", i), 0)
			p.Put(c, err)
			if err != nil || !bytes.Equal(data, noise(10_000+i)) {
				t.Errorf("file %d: %d bytes, %v", i, len(data), err)
			}
		})
	}
	wg.Wait()
}
