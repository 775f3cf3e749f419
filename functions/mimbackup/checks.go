package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/config"
	"github.com/nightshift-hq/nightshift/functions/mimbackup/mimexport"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/storage"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// allChecks are what the check function tries beyond the settings and the app's own storage. The rows of the server go up a
// ladder: the first that fails says why the server cannot be reached, and those above it say that they wait for it.
func allChecks(s *config.Settings, server mimexport.Server, backups *storage.Container) []customhandler.Check {
	l := &look{settings: s, server: server, backups: backups}
	checks := []customhandler.Check{
		{Name: "schedule", Try: func(context.Context) (string, error) { return tryNext(s) }},
		{Name: "blob container of the backups", Try: func(ctx context.Context) (string, error) { return tryContainer(ctx, backups) }},
		{Name: "server: name", Try: l.name},
		{Name: "server: TCP", Try: l.tcp},
	}
	for _, rung := range ladder() {
		checks = append(checks, customhandler.Check{Name: "server: " + rung.name, Try: func(ctx context.Context) (string, error) {
			return l.rung(ctx, rung)
		}})
	}
	return checks
}

func tryNext(s *config.Settings) (string, error) {
	next := s.Schedule.Next(time.Now(), s.Zone.Location())
	if next.IsZero() {
		return "", customhandler.Advise(fmt.Errorf("MIMBackupSchedule %q is never due", s.Schedule), "correct MIMBackupSchedule, for example 0 30 23 * * *")
	}
	return fmt.Sprintf("next at %s (%s)", next.Format("2006-01-02 15:04:05 -07:00"), s.Zone), nil
}

func tryContainer(ctx context.Context, backups *storage.Container) (string, error) {
	const advice = "give the app's identity the role Storage Blob Data Contributor on the storage account, not only on a container: it signs links"
	if err := backups.Create(ctx); err != nil {
		return "", customhandler.Advise(err, advice)
	}
	if _, err := backups.SAS(ctx, checkBlob, storage.SASCreate, time.Minute); err != nil {
		return "", customhandler.Advise(err, advice)
	}
	return "container " + backups.Name() + "; links can be signed", nil
}

// checkBlob is what the server writes to prove that it reaches storage.
const checkBlob = "_check/nightshift.txt"

// look runs the probe once for all rows of one check.
type look struct {
	settings *config.Settings
	server   mimexport.Server
	backups  *storage.Container

	mu    sync.Mutex
	taken time.Time
	found mimexport.Probe
	err   error
}

// fresh is how long a look serves the rows, which are tried at the same time.
const fresh = 10 * time.Second

func (l *look) address() string {
	server := l.settings.Server
	if u, err := url.Parse(server); err == nil && u.Host != "" {
		server = u.Host
	}
	if _, _, err := net.SplitHostPort(server); err == nil {
		return server
	}
	port := "5986"
	if l.settings.Security == winrm.Encrypted || l.settings.Security == winrm.Cleartext {
		port = "5985"
	}
	return net.JoinHostPort(server, port)
}

func (l *look) name(ctx context.Context) (string, error) {
	host, _, err := net.SplitHostPort(l.address())
	if err != nil {
		return "", err
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return "", customhandler.Advise(err, "correct MIMSyncServer; the app must use a DNS server that knows it: integrate it into the network, or use a hybrid connection")
	}
	return host + " is " + strings.Join(addresses, ", "), nil
}

func (l *look) tcp(ctx context.Context) (string, error) {
	dialer := net.Dialer{Timeout: l.settings.ConnectTimeout.Std()}
	conn, err := dialer.DialContext(ctx, "tcp", l.address())
	if err != nil {
		return "", customhandler.Advise(err, "see that WinRM listens on that port (winrm enumerate winrm/config/listener) and that every firewall on the way lets this app in")
	}
	conn.Close()
	return l.address() + " answers", nil
}

// probe looks at the server, with a link that the server is to write through.
func (l *look) probe(ctx context.Context) (mimexport.Probe, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.taken) < fresh {
		return l.found, l.err
	}
	blob := checkBlob + "." + strings.ToLower(rand.Text()[:8])
	var link settings.Secret
	if err := l.backups.Create(ctx); err == nil {
		link, _ = l.backups.SAS(ctx, blob, storage.SASCreate, 10*time.Minute) // without it that row says so
	}
	l.found, l.err = mimexport.Look(ctx, l.server, mimexport.ProbeParams{Root: l.settings.Root(), Sas: link.Reveal(), Proxy: l.settings.Proxy})
	if l.err == nil && link.IsZero() {
		l.found.EgressError = "no link to storage could be signed; see the row of the blob container"
	}
	l.taken = time.Now()
	if err := l.backups.Delete(context.WithoutCancel(ctx), blob, storage.Cond{}); err != nil {
		customhandler.Log(ctx).Warn("the blob of the check stays", "error", err)
	}
	return l.found, l.err
}

// rung is one row that the probe answers.
type rung struct {
	name   string
	breaks func(error) bool // an error of the probe is this row's; nil for rows that a probe which ran answers
	found  func(mimexport.Probe) (string, error)
}

func is(err error, classes ...error) bool {
	for _, class := range classes {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// Failures by the rung that they break.
func network(err error) bool { return is(err, winrm.ErrUnreachable, winrm.ErrTimeout) }
func tlsFails(err error) bool {
	return is(err, winrm.ErrCert)
}
func logon(err error) bool  { return is(err, winrm.ErrDenied, winrm.ErrTimeSkew, winrm.ErrUnprotected) }
func rights(err error) bool { return is(err, winrm.ErrForbidden) }

// ladder is the rows from TLS up.
func ladder() []rung {
	return []rung{
		{"TLS", tlsFails, func(mimexport.Probe) (string, error) { return "the connection is protected as set", nil }},
		{"authentication", logon, func(p mimexport.Probe) (string, error) { return "logged in as " + p.User, nil }},
		{"authorisation", rights, authorised},
		{"PowerShell", func(error) bool { return true }, func(p mimexport.Probe) (string, error) {
			return "PowerShell " + p.PowerShell + " on " + p.Computer, nil
		}},
		{"MIM and its tools", nil, tools},
		{"folder", nil, folder},
		{"way to storage", nil, egress},
	}
}

// rung tells one row. A failure of the probe belongs to the lowest row that it breaks.
func (l *look) rung(ctx context.Context, r rung) (string, error) {
	found, err := l.probe(ctx)
	if err == nil {
		return r.found(found)
	}
	broken := "TCP"
	if !network(err) {
		for _, other := range ladder() {
			if other.breaks != nil && other.breaks(err) {
				broken = other.name
				break
			}
		}
	}
	switch {
	case broken == r.name:
		return "", customhandler.Advise(err, advice(err))
	case below(r.name, broken):
		return "nothing to complain about", nil
	}
	return "", customhandler.Advise(fmt.Errorf("not tried: %q fails", "server: "+broken), "see that row")
}

// below tells whether a row stands under the one that is broken.
func below(name, broken string) bool {
	for _, r := range ladder() {
		switch r.name {
		case broken:
			return false
		case name:
			return broken != "TCP"
		}
	}
	return false
}

func advice(err error) string {
	var fault *winrm.Fault
	if errors.As(err, &fault) && fault.Do != "" {
		return fault.Do
	}
	if is(err, winrm.ErrCert) {
		return "set MIMSyncCAFile to the server's authority, or MIMSyncCertificatePin to its key; or use the name that is in the certificate"
	}
	return "see docs/mimbackup.md, \"What can go wrong\""
}

func authorised(p mimexport.Probe) (string, error) {
	if !p.Administrator {
		return "", customhandler.Advise(fmt.Errorf("%s is no administrator of %s", p.User, p.Computer), "make it a member of the server's Administrators: MIM's exports need it")
	}
	return p.User + " may run commands and is an administrator", nil
}

func tools(p mimexport.Probe) (string, error) {
	switch {
	case p.SyncPath == "":
		return "", customhandler.Advise(fmt.Errorf("the MIM Synchronization Service is not installed on %s", p.Computer), "set MIMSyncServer to the server that has it")
	case !p.Lithnet && !p.Builtin:
		return "", customhandler.Advise(errors.New("neither the module LithnetMIISAutomation nor svrexport.exe is there"), "install the module, or repair MIM's Bin folder")
	case p.AgentsError != "":
		return "", customhandler.Advise(errors.New(p.AgentsError), "make the account a member of MIMSyncAdmins (FIMSyncAdmins)")
	case p.Agents == 0:
		return "", customhandler.Advise(errors.New("the Synchronization Service shows no management agent"), "make the account a member of MIMSyncAdmins (FIMSyncAdmins)")
	}
	var has []string
	for _, tool := range []struct {
		name  string
		there bool
	}{{"LithnetMIISAutomation", p.Lithnet}, {"svrexport", p.Builtin}, {"FIMAutomation", p.Portal}} {
		if tool.there {
			has = append(has, tool.name)
		}
	}
	return fmt.Sprintf("%d management agents; %s", p.Agents, strings.Join(has, ", ")), nil
}

func folder(p mimexport.Probe) (string, error) {
	if p.FolderError != "" {
		return "", customhandler.Advise(errors.New(p.FolderError), "see MIMBackupDirectory: the drive must be there and the account must be allowed to write")
	}
	return fmt.Sprintf("%s can be written; %d MB free", p.Root, p.FreeBytes>>20), nil
}

func egress(p mimexport.Probe) (string, error) {
	if p.EgressError != "" {
		return "", customhandler.Advise(errors.New(p.EgressError), "let the server reach the storage account by https (port 443), directly or by MIMSyncProxy; TLS 1.2 must be on")
	}
	return "the server stored a blob", nil
}
