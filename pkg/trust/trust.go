// Package trust says whom a TLS client trusts: a pinned key, the authorities in a file, or the system's; and it turns a
// certificate that was not accepted into words that an administrator can act on.
//
// A pin is the SHA-256 of the server's public key (SubjectPublicKeyInfo), as in RFC 7469. It replaces the check of name,
// issuer and date; the handshake still proves that the server holds the key.
package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Anchor names what is trusted. The zero value trusts the system's authorities.
type Anchor struct {
	CAFile string // PEM file of the authorities to trust instead of the system's
	Pin    string // SHA-256 of the server's public key, base64 or hex; wins over CAFile
}

// Apply makes t trust what a names.
func (a Anchor) Apply(t *tls.Config) error {
	if a.Pin != "" {
		pin, err := parsePin(a.Pin)
		if err != nil {
			return err
		}
		t.InsecureSkipVerify = true
		// The date does not count either. It would: Go forgets the sessions of an expired certificate, and FTP servers that
		// require their resumption would refuse every transfer.
		t.Time = func() time.Time { return time.Unix(0, 0) }
		// VerifyConnection runs for resumed sessions too.
		t.VerifyConnection = func(s tls.ConnectionState) error { return verifyPin(s.PeerCertificates, pin) }
		return nil
	}
	if a.CAFile == "" {
		return nil
	}
	pem, err := os.ReadFile(a.CAFile)
	if err != nil {
		return fmt.Errorf("read the CA file: %w", err)
	}
	t.RootCAs = x509.NewCertPool()
	if !t.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf(`CA file %q holds no certificate: want PEM, "-----BEGIN CERTIFICATE-----"`, a.CAFile)
	}
	return nil
}

// parsePin reads 32 bytes as hex (colons allowed) or base64, with or without a "sha256/" in front, as curl and HPKP
// write it.
func parsePin(text string) ([]byte, error) {
	s := strings.TrimSpace(text)
	if len(s) > 6 && strings.EqualFold(s[:6], "sha256") {
		s = strings.TrimLeft(s[6:], "/:")
	}
	if pin, err := hex.DecodeString(strings.ReplaceAll(s, ":", "")); err == nil && len(pin) == sha256.Size {
		return pin, nil
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding,
		base64.RawURLEncoding} {
		if pin, err := encoding.DecodeString(s); err == nil && len(pin) == sha256.Size {
			return pin, nil
		}
	}
	return nil, fmt.Errorf("the certificate pin %q is not the SHA-256 of a public key: want 32 bytes as base64 or hex", text)
}

// PinOf returns the pin of a certificate's public key, in base64.
func PinOf(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

type pinError struct{ cert *x509.Certificate }

func (e *pinError) Error() string {
	return "the server's key is not the pinned one; its pin is " + PinOf(e.cert)
}

func verifyPin(chain []*x509.Certificate, pin []byte) error {
	if len(chain) == 0 {
		return errors.New("the server sent no certificate")
	}
	sum := sha256.Sum256(chain[0].RawSubjectPublicKeyInfo)
	if !bytes.Equal(sum[:], pin) {
		return &pinError{chain[0]}
	}
	return nil
}

// Explain says what is wrong with a certificate that was not accepted, and what to do; ok is false where err is about
// something else.
func Explain(err error) (reason, do string, ok bool) {
	var pin *pinError
	if errors.As(err, &pin) {
		return pin.Error() + describe(pin.cert),
			"if the server's key was changed on purpose, set the pin to the new value; else do not connect", true
	}
	var verification *tls.CertificateVerificationError
	if !errors.As(err, &verification) || len(verification.UnverifiedCertificates) == 0 {
		return "", "", false
	}
	cert := verification.UnverifiedCertificates[0]
	reason = "the server's certificate is not accepted: " + verification.Err.Error() + describe(cert)
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		do = "if this is the right server, name its authority's PEM file as CA file, or set the pin " + PinOf(cert)
	case errors.As(err, &name):
		do = fmt.Sprintf("name the server as its certificate does instead of %q, or set the pin %s", name.Host, PinOf(cert))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		do = "have the certificate renewed; until then the pin " + PinOf(cert) + " accepts exactly this key"
	default:
		do = "the pin " + PinOf(cert) + " accepts exactly this key"
	}
	return reason, do, true
}

func describe(cert *x509.Certificate) string {
	names := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		names = append(names[:len(names):len(names)], ip.String())
	}
	return fmt.Sprintf(" (subject %q, for %q, issued by %q, valid from %s to %s)", cert.Subject, names, cert.Issuer,
		cert.NotBefore.UTC().Format(time.DateOnly), cert.NotAfter.UTC().Format(time.DateOnly))
}
