package winrm

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

const soapType = "application/soap+xml;charset=UTF-8"

// link posts envelopes to one server over one connection at a time, which it logs in once. It is not safe for concurrent use.
type link struct {
	cfg      Config
	endpoint *url.URL
	tls      *tls.Config
	tickets  *tickets // Kerberos only

	conn     *conn
	loggedIn bool
	sealer   sealer // set while the connection is logged in with message encryption
}

func (l *link) close() {
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
}

// post sends one envelope and returns the reply, or a *Fault.
func (l *link) post(ctx context.Context, op, envelope string) (*reply, error) {
	answer, err := l.deliver(ctx, []byte(envelope))
	if err != nil {
		return nil, l.fault(op, err)
	}
	parsed, err := parseReply(answer.body)
	if err != nil {
		if answer.status != http.StatusOK {
			return nil, l.fault(op, statusFault(answer))
		}
		return nil, l.fault(op, err)
	}
	if fault := parsed.fault(); fault != nil {
		fault.Status = answer.status
		return nil, l.fault(op, fault)
	}
	if answer.status != http.StatusOK {
		return nil, l.fault(op, statusFault(answer))
	}
	return parsed, nil
}

func (l *link) fault(op string, err error) *Fault {
	var f *Fault
	if !errors.As(err, &f) {
		f = &Fault{Reason: err.Error()}
	}
	if f.Op == "" {
		f.Op = op
	}
	f.Server = l.endpoint.Host
	return f.clean([]settings.Secret{l.cfg.Password})
}

func statusFault(r *httpReply) *Fault {
	k := knownStatus(r.status)
	f := &Fault{Status: r.status, Reason: http.StatusText(r.status), Meaning: k.meaning, Do: k.do, class: k.class}
	if text := strings.TrimSpace(string(r.body)); text != "" && strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
		f.Reason = fmt.Sprintf("%.200s", text)
	}
	return f
}

// deliver logs in where needed, sends, and logs in once more where the server has forgotten who it talks to: a 401 says that
// it did nothing with the envelope.
func (l *link) deliver(ctx context.Context, envelope []byte) (*httpReply, error) {
	if err := l.connect(ctx); err != nil {
		return nil, err
	}
	wasLoggedIn := l.loggedIn
	answer, err := l.send(ctx, envelope)
	if err == nil && answer.status == http.StatusUnauthorized && wasLoggedIn && l.cfg.Auth != Basic {
		l.close()
		if err = l.connect(ctx); err == nil {
			answer, err = l.send(ctx, envelope)
		}
	}
	if err != nil {
		return nil, err
	}
	if answer.status == http.StatusUnauthorized {
		return nil, l.denied(answer)
	}
	l.loggedIn = true
	return answer, nil
}

func (l *link) connect(ctx context.Context) error {
	if l.conn != nil && l.conn.usable() {
		return nil
	}
	l.close()
	c, err := dial(ctx, l.endpoint, l.tls, l.cfg.ConnectTimeout)
	if err != nil {
		var f *Fault
		if cause := context.Cause(ctx); cause != nil {
			f = &Fault{Reason: cause.Error(), cause: cause}
		} else {
			errors.As(err, &f)
		}
		f.Op = "connect"
		return f
	}
	l.conn, l.loggedIn, l.sealer = c, false, nil
	return nil
}

func (l *link) send(ctx context.Context, envelope []byte) (*httpReply, error) {
	if l.cfg.Security == Encrypted {
		return l.sendSealed(ctx, envelope)
	}
	authorization, answer, err := l.authorization(ctx)
	if err != nil || answer != nil {
		return answer, err
	}
	return l.exchange(ctx, soapType, authorization, envelope)
}

// authorization gives the header that goes with the next request; or the reply where the server refused before that.
func (l *link) authorization(ctx context.Context) (string, *httpReply, error) {
	switch {
	case l.cfg.Auth == Basic:
		pair := l.cfg.Username + ":" + l.cfg.Password.Reveal()
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)), nil, nil
	case l.loggedIn:
		return "", nil, nil
	case l.cfg.Auth == Kerberos:
		token, err := l.tickets.token(ctx)
		return negotiate(token), nil, err
	}
	login, err := newNTLM(l.cfg, l.conn.peer)
	if err != nil {
		return "", nil, err
	}
	return l.challenge(ctx, login)
}

// challenge runs the first leg of NTLM. It carries no envelope: nothing is said before the server knows to whom.
func (l *link) challenge(ctx context.Context, login *ntlm) (string, *httpReply, error) {
	opening, err := login.open()
	if err != nil {
		return "", nil, err
	}
	answer, err := l.exchange(ctx, soapType, negotiate(opening), nil)
	if err != nil {
		return "", nil, err
	}
	token, ok := challengeOf(answer)
	if !ok {
		if answer.status == http.StatusUnauthorized || answer.status != http.StatusOK {
			return "", answer, nil
		}
		return "", nil, &Fault{Op: "log in", Reason: "the server did not ask who we are", class: ErrUnprotected}
	}
	if l.conn.broken {
		return "", nil, &Fault{Op: "log in", class: ErrUnreachable, Reason: "the server, or a proxy before it, closes the " +
			"connection after each request; NTLM needs it open"}
	}
	response, err := login.answer(token)
	if err != nil {
		return "", nil, err
	}
	l.sealer = login.sealer()
	return negotiate(response), nil, nil
}

func (l *link) sendSealed(ctx context.Context, envelope []byte) (*httpReply, error) {
	if !l.loggedIn {
		authorization, answer, err := l.authorization(ctx)
		if err != nil || answer != nil {
			return answer, err
		}
		if answer, err = l.exchange(ctx, soapType, authorization, nil); err != nil || answer.status != http.StatusOK {
			return answer, err
		}
		if l.conn.broken {
			return nil, &Fault{Op: "log in", Reason: "the server closed the connection after the login", class: ErrUnreachable}
		}
	}
	sealed, err := seal(l.sealer, envelope)
	if err != nil {
		return nil, err
	}
	answer, err := l.exchange(ctx, sealedType, "", sealed)
	if err != nil {
		return nil, err
	}
	if answer.status != http.StatusOK && answer.status != http.StatusInternalServerError {
		answer.body = nil // refused before it was opened; whatever it says, nobody vouches for it
		return answer, nil
	}
	if answer.body, err = unseal(l.sealer, answer.header.Get("Content-Type"), answer.body); err != nil {
		l.close()
		return nil, &Fault{Reason: err.Error(), Meaning: "the reply is not protected as agreed", class: ErrUnprotected,
			Do: "somebody between may have changed it; otherwise use https"}
	}
	return answer, nil
}

func (l *link) exchange(ctx context.Context, contentType, authorization string, body []byte) (*httpReply, error) {
	header := http.Header{"Content-Type": {contentType}, "User-Agent": {"Nightshift"}}
	if authorization != "" {
		header.Set("Authorization", authorization)
	}
	return l.conn.post(ctx, header, body, silence*l.cfg.OperationTimeout)
}

// denied explains a 401.
func (l *link) denied(r *httpReply) *Fault {
	f := statusFault(r)
	f.Op = "log in"
	offered := schemes(r)
	want := "Negotiate"
	if l.cfg.Auth == Basic {
		want = "Basic"
	}
	switch skew, known := clockSkew(r); {
	case len(offered) > 0 && !contains(offered, want):
		f.Meaning = fmt.Sprintf("the server does not offer %s authentication, only %s", want, strings.Join(offered, ", "))
		f.Do = "choose another authentication, or allow it in winrm/config/service/auth"
	case l.cfg.Auth == Kerberos && known && skew.Abs() > 5*time.Minute:
		f.Meaning = fmt.Sprintf("the server's clock differs by %s", skew.Round(time.Second))
		f.cause, f.Do = ErrTimeSkew, knownCode(1398).do
	case l.cfg.Auth == Basic && strings.ContainsAny(l.cfg.Username, `\@`):
		f.Do = "Basic knows the server's local accounts only: use ntlm or kerberos for a domain account"
	case l.cfg.Auth == NTLM:
		f.Do += "; where the server wants NTLM with channel binding, nothing may take TLS apart in between"
	}
	return f
}

func clockSkew(r *httpReply) (time.Duration, bool) {
	date, err := http.ParseTime(r.header.Get("Date"))
	return time.Until(date), err == nil
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if strings.EqualFold(s, one) {
			return true
		}
	}
	return false
}

func negotiate(token []byte) string { return "Negotiate " + base64.StdEncoding.EncodeToString(token) }

// schemes lists the authentications that a 401 offers.
func schemes(r *httpReply) []string {
	var all []string
	for _, h := range r.header.Values("WWW-Authenticate") {
		scheme, _, _ := strings.Cut(strings.TrimSpace(h), " ")
		all = append(all, scheme)
	}
	return all
}

// challengeOf finds the server's token (RFC 4559, section 4.1).
func challengeOf(r *httpReply) ([]byte, bool) {
	for _, h := range r.header.Values("WWW-Authenticate") {
		scheme, text, _ := strings.Cut(strings.TrimSpace(h), " ")
		if !strings.EqualFold(scheme, "Negotiate") && !strings.EqualFold(scheme, "NTLM") {
			continue
		}
		if token, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err == nil && len(token) > 0 {
			return token, true
		}
	}
	return nil, false
}
