package ftp

import (
	"crypto/tls"

	"github.com/nightshift-hq/nightshift/pkg/trust"
)

// trust sets whom t trusts: the pinned key, the authorities in CAFile, or the system's.
func (c Config) trust(t *tls.Config) error {
	if err := (trust.Anchor{CAFile: c.CAFile, Pin: c.Pin}).Apply(t); err != nil {
		return &Error{Message: err.Error(), class: ErrCert}
	}
	return nil
}

// certFailure explains a certificate that was not accepted; nil where err is about something else.
func certFailure(err error) *Error {
	reason, do, ok := trust.Explain(err)
	if !ok {
		return nil
	}
	return &Error{Message: reason, Hint: do, class: ErrCert}
}
