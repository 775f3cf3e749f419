package ftp

import (
	"strings"

	"github.com/jlaffaye/ftp"
)

// judge gives a reply its class. The codes are RFC 959's and 2228's; where servers use one code for several things, their
// words decide.
func judge(op string, code int, text string) *Error {
	e := &Error{Code: code, Message: text}
	switch code {
	case ftp.StatusNotAvailable, ftp.StatusCanNotOpenDataConnection, ftp.StatusTransfertAborted,
		ftp.StatusFileActionIgnored, ftp.StatusActionAborted, ftp.Status452:
		e.class = ErrBusy
	case ftp.StatusNotLoggedIn, ftp.StatusStorNeedAccount, ftp.StatusInvalidCredentials, ftp.StatusLoginNeedAccount:
		e.class = ErrForbidden
		if op == "log in" {
			e.class = deniedOrFull(text)
		}
	case ftp.StatusFileUnavailable:
		e.class = unavailable(text)
		if op == "log in" {
			e.class = ErrDenied // proftpd: 550 SSL/TLS required on the control channel
		}
	case ftp.StatusBadFileName, ftp.StatusPageTypeUnknown, ftp.StatusExceededStorage:
		e.class = ErrForbidden
	case ftp.StatusBadCommand, ftp.StatusBadArguments, ftp.StatusNotImplemented, ftp.StatusBadSequence,
		ftp.StatusNotImplementedParameter:
		e.class = ErrUnsupported
	}
	return e
}

// deniedOrFull: proftpd answers 530 also when a user has too many connections.
func deniedOrFull(text string) error {
	if containsAny(text, "too many", "maximum number", "max number") {
		return ErrBusy
	}
	return ErrDenied
}

// unavailable sorts the meanings of 550.
func unavailable(text string) error {
	switch {
	case saysMissing(text):
		return ErrNotFound
	case containsAny(text, "denied", "permission", "not permitted", "not allowed", "forbidden", "prohibited"):
		return ErrForbidden
	case containsAny(text, "being used", "in use", "locked", "sharing violation", "busy"): // IIS, FileZilla
		return ErrBusy
	}
	return ErrNotFound
}

func saysMissing(text string) bool {
	return containsAny(text, "no such", "not found", "does not exist", "not exist", "cannot find", "can't find")
}

func containsAny(text string, words ...string) bool {
	text = strings.ToLower(text)
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}
