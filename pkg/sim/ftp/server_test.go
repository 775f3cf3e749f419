package simftp_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, o simftp.Options) *simftp.Server {
	t.Helper()
	s, err := simftp.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// client speaks FTP by hand, so that the server is judged by what is on the wire.
type client struct {
	t *testing.T
	*textproto.Conn
}

func connect(t *testing.T, s *simftp.Server) client {
	t.Helper()
	conn, err := textproto.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return client{t, conn}
}

// ask sends a line, unless it is empty, and wants a reply that begins with code.
func (c client) ask(line string, code int) string {
	c.t.Helper()
	if line != "" {
		if err := c.PrintfLine("%s", line); err != nil {
			c.t.Fatal(err)
		}
	}
	_, text, err := c.ReadResponse(code)
	if err != nil {
		c.t.Fatalf("%q: %v", line, err)
	}
	return text
}

func (c client) login() client {
	c.t.Helper()
	c.ask("", 220)
	c.ask("USER user", 331)
	c.ask("PASS password", 230)
	c.ask("TYPE I", 200)
	return c
}

// data opens a data connection.
func (c client) data() net.Conn {
	c.t.Helper()
	text := c.ask("EPSV", 229)
	_, port, _ := strings.Cut(text, "|||")
	conn, err := net.Dial("tcp", "127.0.0.1:"+port[:strings.Index(port, "|")])
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	return conn
}

// fetch runs a command with a data connection and gives what came over it.
func (c client) fetch(command string) string {
	c.t.Helper()
	data := c.data()
	c.ask(command, 150)
	text, err := io.ReadAll(data)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

func TestCommandsAreRecordedWithoutPasswords(t *testing.T) {
	t.Parallel()
	s := start(t, simftp.Options{})
	c := connect(t, s).login()
	c.ask("MFMT 20260102030405 /none", 550)
	c.ask("QUIT", 221)
	want := []string{"USER user", "PASS [redacted]", "TYPE I", "MFMT 20260102030405 /none", "QUIT"}
	if got := s.Sessions(); len(got) != 1 || !slices.Equal(got[0].Commands, want) {
		t.Errorf("got %v, want %q", got, want)
	}
	if s.Logins() != 1 {
		t.Errorf("%d logins", s.Logins())
	}
}

func TestServerSpeaksItsProtocol(t *testing.T) {
	t.Parallel()
	s := start(t, simftp.Options{Zone: time.FixedZone("", 3600)})
	changed := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := s.WriteFile("/in/a.csv", []byte("0123456789"), changed); err != nil {
		t.Fatal(err)
	}
	c := connect(t, s).login()
	features := c.ask("FEAT", 211)
	for _, feature := range []string{"MLST", "MDTM", "MFMT", "SIZE", "REST STREAM", "EPSV", "AUTH TLS", "UTF8"} {
		if !strings.Contains(features, feature) {
			t.Errorf("FEAT lacks %s: %s", feature, features)
		}
	}
	if got := c.ask("SIZE /in/a.csv", 213); got != "10" {
		t.Errorf("SIZE: %s", got)
	}
	if got := c.ask("MDTM /in/a.csv", 213); got != "20260102030405" {
		t.Errorf("MDTM: %s", got)
	}
	if got := c.fetch("MLSD /in"); got != "Type=file;Size=10;Modify=20260102030405; a.csv\r\n" {
		t.Errorf("MLSD: %q", got)
	}
	c.ask("", 226)
	if got := c.fetch("NLST /in"); got != "in/a.csv\r\n" && got != "/in/a.csv\r\n" {
		t.Errorf("NLST: %q", got)
	}
	c.ask("", 226)
	data := c.data()
	c.ask("REST 4", 350)
	c.ask("RETR /in/a.csv", 150)
	if got, err := io.ReadAll(data); err != nil || string(got) != "456789" {
		t.Errorf("RETR from 4: %q, %v", got, err)
	}
	c.ask("", 226)
}

func TestListingsInTheServersZone(t *testing.T) {
	t.Parallel()
	s := start(t, simftp.Options{NoMLSD: true, Zone: time.FixedZone("", 3600)})
	changed := time.Now().Add(-time.Hour).UTC()
	if err := s.WriteFile("/a.csv", nil, changed); err != nil {
		t.Fatal(err)
	}
	c := connect(t, s).login()
	if features := c.ask("FEAT", 211); strings.Contains(features, "ML") {
		t.Errorf("FEAT names MLSD: %s", features)
	}
	if got := c.fetch("LIST"); !strings.Contains(got, changed.Add(time.Hour).Format("Jan _2 15:04")) {
		t.Errorf("LIST %q does not show %v in UTC+1", got, changed)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	s := start(t, simftp.Options{})
	if err := s.WriteFile("/a.csv", []byte("0123456789"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	c := connect(t, s).login()

	s.Script(simftp.Fault{Command: "SIZE", Path: "a.*", Times: 1, Kind: simftp.Answer, Reply: "550 once"})
	if got := c.ask("SIZE /a.csv", 550); got != "once" {
		t.Errorf("got %q", got)
	}
	c.ask("SIZE /a.csv", 213)

	s.Script(simftp.Fault{Command: "LIST", Kind: simftp.Lines, Reply: "20. Nov\r\nnonsense"})
	if got := c.fetch("LIST"); got != "20. Nov\r\nnonsense\r\n" {
		t.Errorf("listing %q", got)
	}
	c.ask("", 226)

	s.Script(simftp.Fault{Command: "RETR", Kind: simftp.Short, After: 4})
	if got := c.fetch("RETR /a.csv"); got != "0123" {
		t.Errorf("short file %q", got)
	}
	c.ask("", 226)

	s.Script(simftp.Fault{Command: "RETR", Kind: simftp.Final, Reply: "426 broken"})
	if got := c.fetch("RETR /a.csv"); got != "0123456789" {
		t.Errorf("file %q", got)
	}
	c.ask("", 426)

	s.Script(simftp.Fault{Command: "RETR", Kind: simftp.Die, After: 4})
	if got := c.fetch("RETR /a.csv"); got != "0123" {
		t.Errorf("cut file %q", got)
	}
	if _, _, err := c.ReadResponse(226); err == nil {
		t.Error("a final reply after the connection died")
	}
}

func TestTooManyConnectionsAndRefusedLogins(t *testing.T) {
	t.Parallel()
	s := start(t, simftp.Options{MaxConnections: 1, RefuseLogins: 1})
	c := connect(t, s)
	c.ask("", 220)
	connect(t, s).ask("", 421)
	c.ask("USER user", 331)
	c.ask("PASS password", 530)
}

func TestTLSIsFromTheSameCertificateEverywhere(t *testing.T) {
	t.Parallel()
	s := start(t, simftp.Options{Implicit: true})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CertPEM())
	conn, err := tls.Dial("tcp", s.Addr(), &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	greeting := make([]byte, 4)
	if _, err := io.ReadFull(conn, greeting); err != nil || !bytes.Equal(greeting, []byte("220 ")) {
		t.Errorf("greeting %q, %v", greeting, err)
	}
}

// TestStopEndsWhateverGoesOn leaves clients in every state; goleak sees what stays.
func TestStopEndsWhateverGoesOn(t *testing.T) {
	t.Parallel()
	s := start(t, simftp.Options{})
	if err := s.WriteFile("/a.bin", make([]byte, 64<<20), time.Time{}); err != nil {
		t.Fatal(err)
	}
	connect(t, s) // not even the greeting is read
	idle := connect(t, s).login()
	waiting := connect(t, s).login()
	waiting.ask("EPSV", 229)
	if err := waiting.PrintfLine("RETR /a.bin"); err != nil { // without a data connection
		t.Fatal(err)
	}
	sending := connect(t, s).login()
	sending.data() // nobody reads
	sending.ask("RETR /a.bin", 150)
	s.Script(simftp.Fault{Command: "NOOP", Kind: simftp.Silent}, simftp.Fault{Command: "RETR", Kind: simftp.Silent, After: 10})
	silent := connect(t, s).login()
	if err := silent.PrintfLine("NOOP"); err != nil {
		t.Fatal(err)
	}
	stalled := connect(t, s).login()
	data := stalled.data()
	stalled.ask("RETR /a.bin", 150)
	if _, err := io.ReadFull(data, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Stop()
	if n := s.Connections(); n != 0 {
		t.Errorf("%d connections after Stop", n)
	}
	if _, err := idle.ReadLine(); err == nil {
		t.Error("a connection outlived Stop")
	}
	if _, err := net.Dial("tcp", s.Addr()); err == nil {
		t.Error("the port is still open after Stop")
	}
}
