package ftp

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

// Security says how a connection is protected.
type Security string

// The kinds of protection. The zero value means Explicit.
const (
	Explicit  Security = "explicit"  // TLS after AUTH TLS, usually on port 21 (RFC 4217)
	Implicit  Security = "implicit"  // TLS from the first byte, usually on port 990
	Cleartext Security = "cleartext" // none: password and files can be read and changed on the way
)

// UnmarshalText accepts explicit, implicit and cleartext.
func (s *Security) UnmarshalText(text []byte) error {
	switch v := Security(text); v {
	case Explicit, Implicit, Cleartext:
		*s = v
		return nil
	}
	return fmt.Errorf("unknown security %q: want explicit, implicit or cleartext", text)
}

// Config says which server to use and how. Server and Username are required.
type Config struct {
	Server   string // host or host:port; the port defaults to 21, for Implicit to 990
	Username string
	Password settings.Secret

	Security Security // Explicit unless set
	CAFile   string   // PEM file of the authorities to trust instead of the system's
	Pin      string   // SHA-256 of the server's public key (SPKI), base64 or hex; replaces the check of name and issuer

	ConnectTimeout time.Duration // for each TCP connection; default 30 s
	IdleTimeout    time.Duration // longest silence of the server on any connection that is waited on; default 60 s

	ListingZone *time.Location // zone of the times in LIST; default UTC. MLSD and MDTM are UTC by definition

	// For servers that announce what they do badly.
	DisableMLSD  bool // use LIST, whose times are to the minute and in the server's zone
	DisableEPSV  bool // use PASV
	DisableUTF8  bool // do not send OPTS UTF8 ON
	DisableTLS13 bool // use TLS 1.2 (proftpd with mod_tls_shmcache crashes on resumed TLS 1.3 sessions)

	LoginPause time.Duration // how long a Pool stays closed after a refused login; default 15 min
}

const (
	defaultConnectTimeout = 30 * time.Second
	defaultIdleTimeout    = 60 * time.Second
	defaultLoginPause     = 15 * time.Minute
	keepAlive             = 30 * time.Second // below the 4 minutes after which Azure's SNAT forgets a silent connection
	quitLimit             = 2 * time.Second
)

func (c Config) withDefaults() (Config, error) {
	if c.Server == "" {
		return c, fmt.Errorf("connect to FTP server: no server named")
	}
	if strings.Contains(c.Server, "/") {
		return c, fmt.Errorf("connect to FTP server %q: want a host name, or host:port", c.Server)
	}
	if c.Username == "" {
		return c, fmt.Errorf("connect to FTP server %q: no user named", c.Server)
	}
	if c.Security == "" {
		c.Security = Explicit
	}
	if err := c.Security.UnmarshalText([]byte(c.Security)); err != nil {
		return c, fmt.Errorf("connect to FTP server %q: %w", c.Server, err)
	}
	setDefault(&c.ConnectTimeout, defaultConnectTimeout)
	setDefault(&c.IdleTimeout, defaultIdleTimeout)
	setDefault(&c.LoginPause, defaultLoginPause)
	if c.ListingZone == nil {
		c.ListingZone = time.UTC
	}
	return c, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// split gives the server's name, which its certificate must carry, and its port.
func (c Config) split() (host, port string) {
	if host, port, err := net.SplitHostPort(c.Server); err == nil {
		return host, port
	}
	host = strings.Trim(c.Server, "[]")
	if c.Security == Implicit {
		return host, "990"
	}
	return host, "21"
}

// tlsConfig is made anew for each control connection: its data connections must resume that connection's own session
// (vsftpd and proftpd insist), and proftpd refuses sessions that belong to another one. The cache is keyed by ServerName.
func (c Config) tlsConfig() (*tls.Config, error) {
	if c.Security == Cleartext {
		return nil, nil
	}
	host, _ := c.split()
	t := &tls.Config{
		ServerName:         host,
		MinVersion:         tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
	if c.DisableTLS13 {
		t.MaxVersion = tls.VersionTLS12
	}
	return t, c.trust(t)
}
