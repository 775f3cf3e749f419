package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// The built-in FTP server's account. It is no secret: the server listens on loopback and lives as long as the run.
const (
	ftpUser     = "nightshift"
	ftpPassword = "a-night-of-work"
)

// estate is the outside world of the apps on this machine: the storage emulator and, unless the user brings one, an FTP
// server over a folder.
type estate struct {
	dir      string // everything of this run lies here
	emulator *azurite.Server
	account  *storage.Account
	ftp      *simftp.Server // nil with a server of the user's own
}

// openEstate starts the outside world in dir, which it empties first.
func openEstate(ctx context.Context, dir string, ownServer bool) (*estate, error) {
	e := &estate{dir: dir}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(e.drop(), 0o755)); err != nil {
		return nil, fmt.Errorf("prepare %q: %w", dir, err)
	}
	if err := e.start(ctx, ownServer); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func (e *estate) start(ctx context.Context, ownServer bool) (err error) {
	// The emulator must outlive ctx: the host still needs it while it stops.
	if e.emulator, err = azurite.Start(context.WithoutCancel(ctx), azurite.Options{Dir: filepath.Join(e.dir, "storage")}); err != nil {
		return err
	}
	connection := settings.NewSecret(e.emulator.ConnectionString())
	if e.account, err = storage.Open(storage.Config{ConnectionString: connection}); err != nil || ownServer {
		return err
	}
	e.ftp, err = simftp.Start(simftp.Options{Dir: e.drop(), Username: ftpUser, Password: ftpPassword, RequireTLS: true})
	if err != nil {
		return err
	}
	if err := os.WriteFile(e.certificate(), e.ftp.CertPEM(), 0o644); err != nil {
		return fmt.Errorf("write the FTP server's certificate: %w", err)
	}
	return nil
}

// drop is the folder that the built-in FTP server serves.
func (e *estate) drop() string { return filepath.Join(e.dir, "ftp") }

// certificate is what a client of the built-in FTP server must trust.
func (e *estate) certificate() string { return filepath.Join(e.dir, "ftp.pem") }

// environ adds to the user's settings what the apps need to find this estate. The emulator replaces every other storage:
// a run at the desk touches no account in Azure. Nor does it deliver anything to the user's MIM server.
func (e *estate) environ(user []string) []string {
	environ := append(without(user, "AzureWebJobsStorage", "MIMSync", "FTPPublish", "AzureFunctionsJobHost__extensions__queues__maxPollingInterval"),
		"AzureWebJobsStorage="+e.emulator.ConnectionString(),
		"AzureFunctionsJobHost__extensions__queues__maxPollingInterval=00:00:01")
	if e.ftp == nil {
		// The sources of the user's own server are not to be moved or deleted for copies that live in an emulator.
		environ = append(without(environ, "FTPAfter"), "FTPAfter=keep")
	} else {
		environ = append(without(environ, "FTP"),
			"FTPServer="+e.ftp.Addr(), "FTPUsername="+ftpUser, "FTPPassword="+ftpPassword,
			"FTPSourceDirectory=/", "FTPTargetDirectory="+target, "FTPCAFile="+e.certificate(),
			"FTPDepth=4", "FTPSettle=2s")
	}
	return environ
}

// target is where the built-in drop goes, in the form that existing users have.
const target = `E:\Import\HR`

func (e *estate) close() {
	if e.ftp != nil {
		e.ftp.Stop()
	}
	if e.account != nil {
		e.account.Close()
	}
	if e.emulator != nil {
		e.emulator.Stop()
	}
}
