package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/config"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpfetch"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/ftp"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// checks are what the check function tries beyond the settings and the app's own storage.
func checks(s *config.Settings, pool *ftp.Pool, source, archive string, files *storage.Container) []customhandler.Check {
	all := []customhandler.Check{
		{Name: "schedule", Try: func(context.Context) (string, error) { return tryNext(s) }},
		{Name: "FTP server: list FTPSourceDirectory", Try: func(ctx context.Context) (string, error) { return tryList(ctx, pool, source) }},
		{Name: "blob container of the files: write and delete", Try: func(ctx context.Context) (string, error) { return tryWrite(ctx, files) }},
	}
	if s.After == ftpfetch.Archive {
		all = append(all, customhandler.Check{Name: "FTP server: list FTPArchiveDirectory",
			Try: func(ctx context.Context) (string, error) { return tryList(ctx, pool, archive) }})
	}
	return all
}

func tryNext(s *config.Settings) (string, error) {
	next := s.Schedule.Next(time.Now(), s.Zone.Location())
	if next.IsZero() {
		return "", customhandler.Advise(fmt.Errorf("FTPSchedule %q is never due", s.Schedule), "correct FTPSchedule, for example 0 30 10 * * *")
	}
	return fmt.Sprintf("next at %s (%s)", next.Format("2006-01-02 15:04:05 -07:00"), s.Zone), nil
}

// tryList logs in and lists one folder. The advice fits what went wrong.
func tryList(ctx context.Context, pool *ftp.Pool, dir string) (detail string, err error) {
	conn, err := pool.Get(ctx)
	if err != nil {
		return "", customhandler.Advise(err, connectAdvice(err))
	}
	defer func() { pool.Put(conn, err) }()
	entries, err := conn.List(ctx, dir)
	if err != nil {
		return "", customhandler.Advise(err, "see that the directory exists and that FTPUsername may list it")
	}
	files := 0
	for _, e := range entries {
		if e.Kind == ftp.File {
			files++
		}
	}
	return fmt.Sprintf("logged in; %d files and %d other entries in %s", files, len(entries)-files, dir), nil
}

func connectAdvice(err error) string {
	switch {
	case errors.Is(err, ftp.ErrDenied):
		return "correct FTPUsername or FTPPassword; the next try is possible after 15 minutes, or after a restart of the app"
	case errors.Is(err, ftp.ErrCert):
		return "set FTPCAFile to the server's authority, or FTPCertificatePin to its key; or use the name that is in the certificate as FTPServer"
	case errors.Is(err, ftp.ErrUnsupported):
		return "the server offers no TLS: ask for it; only if that is impossible set FTPSecurity to cleartext"
	case errors.Is(err, ftp.ErrTimeout), errors.Is(err, ftp.ErrLost):
		return "see that FTPServer and its port are right and that the server's firewall lets this app's address in"
	case errors.Is(err, ftp.ErrBusy):
		return "the server has no free connection: try later, or lower FTPConnections"
	}
	return "see FTPServer and FTPSecurity"
}

func tryWrite(ctx context.Context, files *storage.Container) (string, error) {
	const name = "_check/nightshift.txt"
	if err := files.Create(ctx); err != nil {
		return "", err
	}
	if _, err := files.Write(ctx, name, []byte("written by the check function\n"), storage.Cond{}, storage.Meta{ContentType: "text/plain"}); err != nil {
		return "", err
	}
	if err := files.Delete(ctx, name, storage.Cond{}); err != nil {
		return "", err
	}
	return "container " + files.Name(), nil
}
