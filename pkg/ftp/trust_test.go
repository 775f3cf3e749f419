package ftp_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/ftp"
	"github.com/nightshift-hq/nightshift/pkg/sim/certificate"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
)

func newCertificate(t *testing.T, notAfter time.Time, names ...string) certificate.Certificate {
	t.Helper()
	c, err := certificate.New(notAfter, names...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhoIsTrusted(t *testing.T) {
	t.Parallel()
	nextYear := time.Now().AddDate(0, 6, 0)
	good := newCertificate(t, nextYear, "127.0.0.1")
	expired := newCertificate(t, time.Now().AddDate(0, 0, -1), "127.0.0.1")
	otherName := newCertificate(t, nextYear, "ftp.example.com")
	other := newCertificate(t, nextYear, "127.0.0.1")
	rows := []struct {
		name   string
		server certificate.Certificate
		ca     []byte
		pin    string
		hint   string // empty: trusted
	}{
		{"its CA file", good, good.CertPEM, "", ""},
		{"several in the CA file", good, append(other.CertPEM, good.CertPEM...), "", ""},
		{"its pin in base64", good, nil, good.Pin, ""},
		{"its pin as curl writes it", good, nil, "sha256//" + good.Pin, ""},
		{"its pin in hex", good, nil, hexPin(t, good.Pin), ""},
		{"expired, but pinned", expired, nil, expired.Pin, ""},
		{"another name, but pinned", otherName, nil, otherName.Pin, ""},
		{"unknown authority", good, nil, "", "CA file"},
		{"another authority", good, other.CertPEM, "", "CA file"},
		{"expired", expired, expired.CertPEM, "", "renewed"},
		{"another name", otherName, otherName.CertPEM, "", `instead of "127.0.0.1"`},
		{"another pin", good, nil, other.Pin, "changed on purpose"},
		{"another pin, although the CA file fits", good, good.CertPEM, other.Pin, "changed on purpose"},
	}
	for _, row := range rows {
		for _, implicit := range []bool{false, true} {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				s, config := startSim(t, simftp.Options{Certificate: row.server, Implicit: implicit, RequireReuse: true})
				config.CAFile, config.Pin = "", row.pin
				if row.ca != nil {
					config.CAFile = caFile(t, row.ca)
				}
				if err := s.WriteFile("/in/a.bin", noise(1000), time.Time{}); err != nil {
					t.Fatal(err)
				}
				err := everything(t.Context(), config, noise(1000))
				if row.hint == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if !errors.Is(err, ftp.ErrCert) || !strings.Contains(err.Error(), row.hint) {
					t.Errorf("got %v, want ErrCert that says %q", err, row.hint)
				}
				if pin := row.server.Pin; !strings.Contains(err.Error(), pin) {
					t.Errorf("the error does not give the pin %s: %v", pin, err)
				}
				if s.Logins() != 0 {
					t.Error("the password was sent to a server that is not trusted")
				}
			})
		}
	}
}

func hexPin(t *testing.T, pin string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(pin)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ToUpper(hex.EncodeToString(raw))
}

func TestTrustThatIsMisconfigured(t *testing.T) {
	t.Parallel()
	_, config := startSim(t, simftp.Options{})
	noPEM := filepath.Join(t.TempDir(), "ca.der")
	if err := os.WriteFile(noPEM, []byte{0x30, 0x82}, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*ftp.Config){
		"no such file":         func(c *ftp.Config) { c.CAFile = "/no/such/ca.pem" },
		"holds no certificate": func(c *ftp.Config) { c.CAFile = noPEM },
		"not the SHA-256":      func(c *ftp.Config) { c.Pin = "deadbeef" },
		"unknown security":     func(c *ftp.Config) { c.Security = "starttls" },
		"no server":            func(c *ftp.Config) { c.Server = "" },
		"host:port":            func(c *ftp.Config) { c.Server = "ftp://127.0.0.1/in" },
		"no user":              func(c *ftp.Config) { c.Username = "" },
	} {
		config := config
		change(&config)
		if _, err := ftp.Dial(t.Context(), config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestSecurityThatDoesNotFitTheServer(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name     string
		server   simftp.Options
		security ftp.Security
		class    error
		hint     string
	}{
		{"explicit, server has no TLS", simftp.Options{NoTLS: true}, ftp.Explicit, ftp.ErrUnsupported, "implicit"},
		{"explicit, server is implicit", simftp.Options{Implicit: true}, ftp.Explicit, ftp.ErrTimeout, "implicit"},
		{"implicit, server is explicit", simftp.Options{}, ftp.Implicit, ftp.ErrLost, "explicit"},
		{"clear text, server wants TLS", simftp.Options{RequireTLS: true}, ftp.Cleartext, ftp.ErrDenied, "explicit"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, config := startSim(t, row.server)
			config.Security, config.IdleTimeout = row.security, 3*time.Second
			_, err := ftp.Dial(t.Context(), config)
			var e *ftp.Error
			if !errors.Is(err, row.class) || !errors.As(err, &e) || !strings.Contains(e.Hint, row.hint) {
				t.Errorf("got %v, want %v and a hint at %q", err, row.class, row.hint)
			}
			if s.Logins() != 0 {
				t.Error("a password was sent")
			}
		})
	}
}

// TestTextAfterAuthTLS: whoever sits between may append replies in clear, to be read as if they came through TLS.
func TestTextAfterAuthTLS(t *testing.T) {
	t.Parallel()
	_, config := startSim(t, simftp.Options{})
	l := oneAnswer(t, "220 hello\r\n", "234 go on\r\n230 logged in\r\n")
	config.Server = l.Addr().String()
	if _, err := ftp.Dial(t.Context(), config); !errors.Is(err, ftp.ErrCert) {
		t.Errorf("got %v, want ErrCert", err)
	}
}

func TestNotFTPAtAll(t *testing.T) {
	t.Parallel()
	_, config := startSim(t, simftp.Options{})
	for _, security := range []ftp.Security{ftp.Explicit, ftp.Cleartext} {
		l := oneAnswer(t, "SSH-2.0-OpenSSH_9.2\r\n", "")
		config.Server, config.Security = l.Addr().String(), security
		if _, err := ftp.Dial(t.Context(), config); err == nil || !strings.Contains(err.Error(), "not an FTP server") {
			t.Errorf("%s: got %v, want an error that says so", security, err)
		}
	}
	l := oneAnswer(t, "", "")
	config.Server = l.Addr().String()
	l.Close()
	if _, err := ftp.Dial(t.Context(), config); !errors.Is(err, ftp.ErrLost) {
		t.Errorf("nobody there: got %v, want ErrLost", err)
	}
}

// oneAnswer greets one client, and answers its first command.
func oneAnswer(t *testing.T, greeting, answer string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.Write([]byte(greeting))
		buf := make([]byte, 256)
		for {
			if _, err := conn.Read(buf); err != nil {
				return
			}
			conn.Write([]byte(answer))
		}
	}()
	return l
}
