package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/config"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpdeliver"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/storage"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// deliveryChecks are the rows of the MIM server; none where nothing is delivered.
func deliveryChecks(s *config.Settings, server ftpdeliver.Server, files *storage.Container) []customhandler.Check {
	if server == nil {
		return nil
	}
	l := &look{settings: s, server: server, files: files}
	row := func(name string, tell func(ftpdeliver.Reached) (string, error)) customhandler.Check {
		return customhandler.Check{Name: "MIM server: " + name, Try: func(ctx context.Context) (string, error) {
			found, err := l.probe(ctx)
			if err != nil {
				return "", customhandler.Advise(err, serverAdvice(err))
			}
			return tell(found)
		}}
	}
	checks := []customhandler.Check{
		row("log in and run PowerShell", func(r ftpdeliver.Reached) (string, error) {
			return fmt.Sprintf("logged in as %s; PowerShell %s on %s", r.User, r.PowerShell, r.Computer), nil
		}),
		row("write in FTPTargetDirectory", func(r ftpdeliver.Reached) (string, error) {
			if r.FolderError != "" {
				return "", customhandler.Advise(errors.New(r.FolderError), "see FTPTargetDirectory: the drive must be there and MIMSyncCredUser must be allowed to write")
			}
			return fmt.Sprintf("%s can be written; %d MB free", s.TargetDirectory, r.FreeBytes>>20), nil
		}),
	}
	if s.Via == ftpdeliver.Stdin {
		return checks
	}
	return append(checks, row("way to storage", func(r ftpdeliver.Reached) (string, error) {
		if r.EgressError != "" {
			return "", customhandler.Advise(errors.New(r.EgressError),
				"let the server reach the storage account by https (port 443), directly or by MIMSyncProxy; or set MIMDeliverVia to stdin")
		}
		return "the server read a blob", nil
	}))
}

func serverAdvice(err error) string {
	if fault, ok := errors.AsType[*winrm.Fault](err); ok && fault.Do != "" {
		return fault.Do
	}
	if errors.Is(err, winrm.ErrCert) {
		return "set MIMSyncCAFile to the server's authority, or MIMSyncCertificatePin to its key; or use the name that is in the certificate"
	}
	return "see that MIMSyncServer is right, that WinRM listens there (winrm enumerate winrm/config/listener), and that every firewall on the way lets this app in"
}

// look probes the server once for all rows of one check, which are tried at the same time.
type look struct {
	settings *config.Settings
	server   ftpdeliver.Server
	files    *storage.Container

	mu    sync.Mutex
	taken time.Time
	found ftpdeliver.Reached
	err   error
}

// fresh is how long a look serves.
const fresh = 10 * time.Second

func (l *look) probe(ctx context.Context) (ftpdeliver.Reached, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.taken) < fresh {
		return l.found, l.err
	}
	params := ftpdeliver.ReachParams{Folder: l.settings.TargetDirectory, Proxy: l.settings.MIM.Proxy}
	var linkErr error
	if l.settings.Via == ftpdeliver.Link {
		var link settings.Secret
		if link, linkErr = l.link(ctx); linkErr == nil {
			params.Link = link.Reveal()
			defer l.files.Delete(context.WithoutCancel(ctx), checkBlob, storage.Cond{})
		}
	}
	l.found, l.err = ftpdeliver.Reach(ctx, l.server, params)
	if linkErr != nil {
		l.found.EgressError = "no link to storage could be signed: " + linkErr.Error()
	}
	l.taken = time.Now()
	return l.found, l.err
}

// checkBlob is what the server is to read.
const checkBlob = "_check/delivery.txt"

func (l *look) link(ctx context.Context) (settings.Secret, error) {
	_, err := l.files.Write(ctx, checkBlob, []byte("for the check function\n"), storage.Cond{}, storage.Meta{ContentType: "text/plain"})
	if err != nil {
		return settings.Secret{}, err
	}
	return l.files.SAS(ctx, checkBlob, storage.SASRead, 10*time.Minute)
}
