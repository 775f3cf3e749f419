package winrm

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

// Classes of failure, for errors.Is. Whatever has none of them is unexpected.
var (
	ErrDenied       = errors.New("login refused")             // 401: do not repeat soon, accounts get locked
	ErrForbidden    = errors.New("not allowed")               // logged in, but this account may not
	ErrQuota        = errors.New("quota used up")             // shells, operations, processes or memory of this user
	ErrBusy         = errors.New("server busy")               // try later
	ErrUnknownShell = errors.New("no such shell or command")  // ended by the server: idle, restarted, or out of time
	ErrTimeout      = errors.New("server silent")             // no reply, or no connection, in the time given
	ErrCert         = errors.New("certificate not accepted")  // see Do: CA file, pin, or the server's name
	ErrUnreachable  = errors.New("connection failed or lost") // name, route, port, or a reset
	ErrUnprotected  = errors.New("reply not protected")       // a reply that should be encrypted was not, or was changed
	ErrTooLong      = errors.New("request too long")          // command line or envelope
	ErrTimeSkew     = errors.New("clocks differ too much")    // Kerberos allows five minutes
	ErrNoResult     = errors.New("script gave no result")     // it ended without telling how; what it did is not known
	ErrStillRunning = errors.New("script still running")      // a detached run that the context did not wait out
)

// Fault is a failed request: a WS-Management fault, an HTTP status, or a failure of the network. It wraps its class and,
// where the context ended the request, the context's cause. It never holds what was sent.
type Fault struct {
	Op      string // what was tried: "connect", "log in", "create shell", "start command", "send input", ...
	Server  string // host:port
	Status  int    // HTTP status, 0 if there was no reply
	Code    int64  // WS-Management or Windows code, as an unsigned number; 0 if there was none
	Subcode string // such as "w:QuotaLimit"
	Reason  string // the server's text, or what happened
	Meaning string // what it means for an administrator, if known
	Do      string // what to do, if known

	class error
	cause error
}

func (f *Fault) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "winrm %s: %s", f.Op, f.Server)
	if f.Meaning != "" {
		b.WriteString(": " + f.Meaning)
	}
	if f.Reason != "" && f.Reason != f.Meaning {
		b.WriteString(": " + f.Reason)
	}
	var facts []string
	if f.Code != 0 {
		facts = append(facts, fmt.Sprintf("fault %d", f.Code))
	}
	if f.Subcode != "" {
		facts = append(facts, f.Subcode)
	}
	if f.Status != 0 {
		facts = append(facts, fmt.Sprintf("HTTP %d", f.Status))
	}
	if len(facts) > 0 {
		b.WriteString(" (" + strings.Join(facts, ", ") + ")")
	}
	if f.Do != "" {
		b.WriteString("; " + f.Do)
	}
	return b.String()
}

// Unwrap gives the class and the cause, where there are such.
func (f *Fault) Unwrap() []error {
	var all []error
	for _, err := range []error{f.class, f.cause} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// clean takes credentials out of what the server said.
func (f *Fault) clean(secrets []settings.Secret) *Fault {
	f.Reason = settings.RedactText(f.Reason, secrets)
	return f
}

// knowledge is what we know about a code or subcode.
type knowledge struct {
	class       error
	meaning, do string
}

const (
	codeTimedOut = 2150858793
	codeBusy     = 170
)

// knownCode explains the codes that servers answer with (wsman.h, winerror.h; recorded or reported in the field).
func knownCode(code int64) knowledge {
	switch code {
	case 5, 0x80070005:
		return knowledge{ErrForbidden, "the account is known but may not open a remote shell",
			"make it a member of the server's Administrators, or grant it Invoke with `winrm configSDDL default`; a local account " +
				"other than Administrator also needs LocalAccountTokenFilterPolicy=1"}
	case 1326, 0x8007052e:
		return knowledge{ErrDenied, "the user name or the password is wrong", "check both; repeated attempts lock the account"}
	case codeTimedOut:
		return knowledge{ErrTimeout, "the server had nothing to say within the operation timeout", ""}
	case 2150858843:
		return knowledge{ErrUnknownShell, "the shell or command is gone", "it was idle for too long, or the WinRM service restarted"}
	case 109, 232, 0x8007006d, 0x800700e8:
		return knowledge{ErrUnknownShell, "the command reads no more input: it has ended", ""}
	case 2150859173:
		return knowledge{ErrQuota, "this account has too many shells open",
			"wait until idle shells end, or raise winrm/config/winrs MaxShellsPerUser"}
	case 2150859174:
		return knowledge{ErrQuota, "this account has too many operations under way",
			"run less at once, or raise winrm/config/service MaxConcurrentOperationsPerUser"}
	case 2147942606, 206:
		return knowledge{ErrTooLong, "the command line is too long for the server", "this should not happen: report it"}
	case 2150858817:
		return knowledge{nil, "the server does not accept the form of the request", "this should not happen: report it"}
	case codeBusy, 0x800700aa:
		return knowledge{ErrBusy, "the server is still busy with the last request of this command", "try again"}
	case 995, 0x800703e3:
		return knowledge{ErrUnreachable, "the server ended the request", "its WinRM service, or the server, was probably stopped"}
	case 8, 14, 1450, 1816, 0x80070008, 0x8007000e, 0x800705aa, 0x80070718:
		return knowledge{ErrQuota, "the server is out of memory for this shell",
			"raise winrm/config/winrs MaxMemoryPerShellMB (it was 150 before 2012), or free memory"}
	case 0x80090324, 1398, 0x80070576:
		return knowledge{ErrTimeSkew, "the clocks of client and server differ by more than Kerberos allows (5 minutes)",
			"synchronise both with the domain's time"}
	case 2, 0x80070002:
		return knowledge{nil, "the server did not find the program", "check that Windows PowerShell is installed and in PATH"}
	}
	return knowledge{}
}

// knownSubcode explains the fault subcodes of DSP0226 (WS-Management), annex C, whose prefixes servers choose.
func knownSubcode(subcode string) knowledge {
	_, local, _ := strings.Cut(subcode, ":")
	switch local {
	case "AccessDenied":
		return knownCode(5)
	case "TimedOut":
		return knownCode(codeTimedOut)
	case "InvalidSelectors":
		return knownCode(2150858843)
	case "QuotaLimit":
		return knowledge{ErrQuota, "a limit for this account is reached", "see `winrm get winrm/config` on the server"}
	case "EncodingLimit":
		return knowledge{ErrTooLong, "the request is larger than the server allows", "raise winrm/config MaxEnvelopeSizekb to 500"}
	case "Concurrency":
		return knownCode(codeBusy)
	case "SchemaValidationError":
		return knownCode(2150858817)
	case "DestinationUnreachable":
		return knowledge{ErrUnreachable, "the server has no such resource", "check that winrm/config/winrs AllowRemoteShellAccess is true"}
	}
	return knowledge{}
}

// knownStatus explains an HTTP status that came without a fault.
func knownStatus(status int) knowledge {
	switch status {
	case 401:
		return knowledge{ErrDenied, "the server refuses the login", "check user name and password, and that the account is not locked"}
	case 403:
		return knowledge{ErrForbidden, "the server forbids the request", ""}
	case 404:
		return knowledge{ErrUnreachable, "there is no WinRM service at this address", "check port and path (/wsman)"}
	case 413:
		return knowledge{ErrTooLong, "the request is larger than the server allows", "raise winrm/config MaxEnvelopeSizekb to 500"}
	case 503:
		return knowledge{ErrBusy, "the WinRM service is stopped or overloaded", "check the service on the server"}
	}
	return knowledge{}
}
