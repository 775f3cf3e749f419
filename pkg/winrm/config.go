package winrm

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/trust"
)

// Auth says how the client proves who it is.
type Auth string

// The kinds of authentication. The zero value means NTLM.
const (
	NTLM     Auth = "ntlm"     // NTLMv2, with channel binding over HTTPS; local and domain accounts
	Basic    Auth = "basic"    // local accounts only, and the server must allow it; HTTPS or clear text
	Kerberos Auth = "kerberos" // domain accounts; password, keytab or ccache; HTTPS only
)

// UnmarshalText accepts ntlm, basic and kerberos.
func (a *Auth) UnmarshalText(text []byte) error {
	switch v := Auth(text); v {
	case NTLM, Basic, Kerberos:
		*a = v
		return nil
	}
	return fmt.Errorf("unknown authentication %q: want ntlm, basic or kerberos", text)
}

// Security says how a connection is protected.
type Security string

// The kinds of protection. The zero value means HTTPS. None is ever exchanged for another.
const (
	HTTPS     Security = "https"     // TLS 1.2 or newer, usually on port 5986
	Encrypted Security = "encrypted" // HTTP with NTLM message encryption, usually on port 5985
	Cleartext Security = "cleartext" // none: scripts, parameters and with Basic the password can be read on the way
)

// UnmarshalText accepts https, encrypted and cleartext.
func (s *Security) UnmarshalText(text []byte) error {
	switch v := Security(text); v {
	case HTTPS, Encrypted, Cleartext:
		*s = v
		return nil
	}
	return fmt.Errorf("unknown security %q: want https, encrypted or cleartext", text)
}

// Config says which server to use and how. Server is required, and Username unless a ccache has it.
type Config struct {
	Server   string // host, host:port or https://host:port/wsman; the port defaults to 5986, without TLS to 5985
	Username string // user, DOMAIN\user or user@domain
	Password settings.Secret

	Auth          Auth     // NTLM unless set
	Security      Security // HTTPS unless set; a Server that begins with http:// needs it set
	CAFile        string   // PEM file of the authorities to trust instead of the system's
	Pin           string   // SHA-256 of the server's public key (SPKI), base64 or hex; replaces the check of name and issuer
	TLSServerName string   // name in the certificate, if it is not the one in Server

	// For Kerberos. One of Keytab, CCache and Password is used, in this order.
	Keytab   string // file
	CCache   string // file
	Krb5Conf string // file; unless set, the realm's domain controllers are looked up in DNS
	Realm    string // unless set, the part of Username after the @, or the default of Krb5Conf; in upper case
	SPN      string // HTTP/<host> unless set

	ConnectTimeout   time.Duration // for TCP and TLS together; default 30 s
	OperationTimeout time.Duration // how long the server holds a request back that it has no answer to; default 20 s. It is silent after twice that
}

const (
	defaultConnectTimeout   = 30 * time.Second
	defaultOperationTimeout = 20 * time.Second
	// silence is how many operation timeouts a reply may take before the server counts as silent.
	silence = 2
)

func (c Config) withDefaults() (Config, *url.URL, error) {
	endpoint, err := c.endpoint()
	if err != nil {
		return c, nil, err
	}
	setDefault(&c.Auth, NTLM)
	setDefault(&c.Security, HTTPS)
	setDefault(&c.ConnectTimeout, defaultConnectTimeout)
	setDefault(&c.OperationTimeout, defaultOperationTimeout)
	setDefault(&c.TLSServerName, endpoint.Hostname())
	setDefault(&c.SPN, "HTTP/"+endpoint.Hostname())
	if err := c.check(endpoint); err != nil {
		return c, nil, fmt.Errorf("connect to WinRM server %q: %w", c.Server, err)
	}
	return c, endpoint, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) check(endpoint *url.URL) error {
	if err := c.Auth.UnmarshalText([]byte(c.Auth)); err != nil {
		return err
	}
	if err := c.Security.UnmarshalText([]byte(c.Security)); err != nil {
		return err
	}
	switch secured := endpoint.Scheme == "https"; {
	case c.Username == "" && (c.Auth != Kerberos || c.CCache == ""):
		return fmt.Errorf("no user named")
	case secured != (c.Security == HTTPS):
		return fmt.Errorf("the address says %s and security says %s: HTTP is used only with security encrypted or cleartext",
			endpoint.Scheme, c.Security)
	case c.Security == Encrypted && c.Auth != NTLM:
		return fmt.Errorf("security encrypted needs ntlm authentication, not %s: use https", c.Auth)
	case c.Auth == Kerberos && c.Security != HTTPS:
		return fmt.Errorf("kerberos authentication needs security https")
	case c.ConnectTimeout < 0 || c.OperationTimeout < time.Second:
		return fmt.Errorf("the operation timeout is %s: want a second or more", c.OperationTimeout)
	}
	return nil
}

// endpoint completes Server to a URL.
func (c Config) endpoint() (*url.URL, error) {
	if c.Server == "" {
		return nil, fmt.Errorf("connect to WinRM server: no server named")
	}
	scheme, port := "https", "5986"
	if c.Security == Encrypted || c.Security == Cleartext {
		scheme, port = "http", "5985"
	}
	text := c.Server
	if !strings.Contains(text, "://") {
		text = scheme + "://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("connect to WinRM server %q: want a host name, host:port or https://host:port/wsman",
			settings.RedactText(c.Server, nil))
	}
	if u.Port() == "" {
		if u.Scheme == "http" {
			port = "5985"
		}
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/wsman"
	}
	return u, nil
}

func (c Config) tlsConfig() (*tls.Config, error) {
	if c.Security != HTTPS {
		return nil, nil
	}
	t := &tls.Config{ServerName: c.TLSServerName, MinVersion: tls.VersionTLS12}
	return t, trust.Anchor{CAFile: c.CAFile, Pin: c.Pin}.Apply(t)
}
