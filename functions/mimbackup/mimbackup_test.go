package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/config"
	"github.com/nightshift-hq/nightshift/functions/mimbackup/mimbackuptest"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// environ is the least that the app runs with, but for what is set otherwise.
func environ(otherwise ...string) []string {
	least := []string{
		"AzureWebJobsStorage=UseDevelopmentStorage=true", "MIMSyncServer=mim01.corp.example.com", `MIMSyncCredUser=CORP\svc-nightshift`,
		"MIMSyncCredPassword=canary-password",
	}
	for _, setting := range otherwise {
		name, _, _ := strings.Cut(setting, "=")
		least = slices.DeleteFunc(least, func(s string) bool { return strings.HasPrefix(s, name+"=") })
	}
	return append(least, otherwise...)
}

func TestEveryFunctionHasItsTriggerAndTheReverse(t *testing.T) {
	t.Parallel()
	app, err := build(environ())
	if err != nil || app.Problem != nil {
		t.Fatal(err, app.Problem)
	}
	if err := customhandler.CheckFunctions(os.DirFS("."), app.Functions); err != nil {
		t.Error(err)
	}
}

func TestSettingsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		setting string
		want    []string
	}{
		{"MIMSyncServer=", []string{"MIMSyncServer"}},
		{"MIMSyncCredUser=", []string{"MIMSyncCredUser"}},
		{"MIMSyncCredPassword=", []string{"MIMSyncCredPassword", "MIMSyncKeytab"}},
		{"MIMSyncAuth=digest", []string{"MIMSyncAuth", "ntlm, basic or kerberos"}},
		{"MIMSyncSecurity=none", []string{"MIMSyncSecurity", "https, encrypted or cleartext"}},
		{"MIMSyncServer=http://mim01", []string{"MIMSyncServer", "security"}},
		{"MIMSyncCAFile=missing.pem", []string{"MIMSyncServer", "missing.pem"}},
		{"MIMSyncProxy=socks://proxy", []string{"MIMSyncProxy", "http://"}},
		{"MIMBackupDirectory=Backup", []string{"MIMBackupDirectory", "a folder on a drive"}},
		{`MIMBackupDirectory=C:\`, []string{"MIMBackupDirectory", "below its root"}},
		{`MIMBackupDirectory=C:\Backup\..\Windows`, []string{"MIMBackupDirectory"}},
		{"MIMBackupSchedule=61 * * * * *", []string{"MIMBackupSchedule"}},
		{"MIMBackupFolderFormat=dd-MM", []string{"MIMBackupFolderFormat", "yyyy"}},
		{"MIMBackupFolderFormat=dd/MM/yyyy", []string{"MIMBackupFolderFormat", "only - and _"}},
		{"MIMBackupEngine=export", []string{"MIMBackupEngine", "auto, lithnet or builtin"}},
		{`MIMBackupPortalUser=CORP\reader`, []string{"MIMBackupPortalPassword"}},
		{"MIMBackupPortalUri=localhost", []string{"MIMBackupPortalUri"}},
		{"MIMBackupKeepOnServer=0", []string{"MIMBackupKeepOnServer", "at least 1"}},
		{"MIMBackupKeyBackup=yesterday", []string{"MIMBackupKeyBackup", "2026-09-30"}},
		{"MIMBackupShedule=0 0 1 * * *", []string{"MIMBackupShedule", "MIMBackupSchedule"}},
	} {
		app, err := build(environ(row.setting))
		text := fmt.Sprint(err, app.Problem)
		for _, want := range row.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %s\nwant %q in it", row.setting, text, want)
			}
		}
		if strings.Contains(text, "canary-password") {
			t.Errorf("%s: the password is in %s", row.setting, text)
		}
	}
}

func TestTheTwelveHourFolderIsAllowed(t *testing.T) {
	t.Parallel()
	if app, err := build(environ("MIMBackupFolderFormat=dd-MM-yyyy-hh-mm")); err != nil || app.Problem != nil {
		t.Error(err, app.Problem)
	}
}

// TestCheckSaysWhyTheServerCannotBeReached breaks one rung of the ladder at a time. The rows below it are well, it says why, and
// those above it wait.
func TestCheckSaysWhyTheServerCannotBeReached(t *testing.T) {
	t.Parallel()
	all := []string{"name", "TCP", "TLS", "authentication", "authorisation", "PowerShell", "MIM and its tools", "folder", "way to storage"}
	for name, row := range map[string]struct {
		strike func(*mimbackuptest.World, *config.Settings)
		broken string // the row; empty: none
		others bool   // rows above the broken one are well all the same
		want   string // in what it says
	}{
		"all is well":         {func(*mimbackuptest.World, *config.Settings) {}, "", true, ""},
		"server is off":       {func(w *mimbackuptest.World, _ *config.Settings) { w.Windows.Stop() }, "TCP", false, "refused"},
		"another certificate": {func(_ *mimbackuptest.World, s *config.Settings) { s.CertificatePin = strings.Repeat("ab", 32) }, "TLS", false, "pinned"},
		"wrong password":      {func(_ *mimbackuptest.World, s *config.Settings) { s.Password = settings.NewSecret("wrong") }, "authentication", false, "401"},
		"no right to a shell": {func(w *mimbackuptest.World, _ *config.Settings) {
			w.Windows.Script(simwinrm.Fault{Action: "Create", Kind: simwinrm.SOAP, Code: 5})
		}, "authorisation", false, "Administrators"},
		"no such drive":     {func(_ *mimbackuptest.World, s *config.Settings) { s.Directory = `Q:\Backup` }, "folder", true, "no drive"},
		"no way to storage": {func(w *mimbackuptest.World, _ *config.Settings) { w.Windows.Egress(false) }, "way to storage", true, "Unable to connect"},
		"PowerShell is broken": {func(w *mimbackuptest.World, _ *config.Settings) {
			w.Windows.Script(simwinrm.Fault{Action: "Command", Kind: simwinrm.Exit, Code: 1})
		}, "PowerShell", false, "no result"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := mimbackuptest.New(t, emulator.ConnectionString())
			var s config.Settings
			if err := settings.Load(&s, environ("MIMSyncServer="+w.Windows.URL(), "MIMSyncCredUser=svc", "MIMSyncCredPassword="+mimbackuptest.Canary,
				"MIMSyncCertificatePin="+w.Windows.Pin(), "MIMSyncConnectTimeout=5s")); err != nil {
				t.Fatal(err)
			}
			row.strike(w, &s)
			rows := map[string]string{}
			for _, c := range allChecks(&s, newClient(t, &s), w.Backups) {
				_, err := c.Try(t.Context())
				name := strings.TrimPrefix(c.Name, "server: ")
				if err != nil {
					rows[name] = err.Error()
				}
			}
			reached := true
			for _, name := range all {
				problem := rows[name]
				if name == row.broken {
					reached = false
					if problem == "" || strings.HasPrefix(problem, "not tried") || !strings.Contains(problem, row.want) {
						t.Errorf("%s: %q, want %q in it", name, problem, row.want)
					}
					continue
				}
				if (reached || row.others) && problem != "" {
					t.Errorf("%s is not broken: %s", name, problem)
				}
				if !reached && !row.others && problem == "" && name != "TCP" {
					t.Errorf("%s is well above the broken %s", name, row.broken)
				}
			}
			for _, blob := range w.Names(t) {
				t.Errorf("the check left %s", blob)
			}
		})
	}
}

func newClient(t *testing.T, s *config.Settings) *winrm.Client {
	t.Helper()
	client, err := winrm.New(s.Client())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(context.Background()) })
	return client
}
