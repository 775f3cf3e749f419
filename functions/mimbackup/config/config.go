// Package config is what the app settings of mimbackup are, beside the app's main so that the repository can list the settings of
// all apps in one example file.
package config

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/mimexport"
	"github.com/nightshift-hq/nightshift/pkg/mim"
	"github.com/nightshift-hq/nightshift/pkg/mimsync"
	"github.com/nightshift-hq/nightshift/pkg/schedule"
	"github.com/nightshift-hq/nightshift/pkg/settings"
)

// Settings are the app settings of mimbackup.
type Settings struct {
	settings.Common
	mimsync.Settings

	Schedule     schedule.Schedule      `env:"MIMBackupSchedule" envDefault:"0 30 23 * * *" doc:"When to back up, by the wall clock of WEBSITE_TIME_ZONE, as NCRONTAB." want:"six fields: second minute hour day month day-of-week" example:"0 0 22 * * MON-FRI"`
	Directory    string                 `env:"MIMBackupDirectory" envDefault:"C:\\Backup" doc:"Folder on the server for the dated folders." want:"a folder on a drive of the server" example:"D:\\Backup"`
	FolderFormat mimexport.FolderFormat `env:"MIMBackupFolderFormat" envDefault:"dd-MM-yyyy-HH-mm" doc:"Name of the dated folder, by the wall clock of WEBSITE_TIME_ZONE. hh is the hour of 12. A folder that exists is never written into: the new one gets -2, -3 and so on." want:"yyyy, MM, dd, HH or hh, mm, ss with - or _" example:"yyyy-MM-dd-HH-mm"`
	Engine       mimexport.Engine       `env:"MIMBackupEngine" envDefault:"auto" doc:"What exports management agents and server configuration: the module LithnetMIISAutomation, or MIM's own maexport.exe and svrexport.exe. auto takes the module where it is installed." want:"auto, lithnet or builtin" example:"builtin"`
	MinFree      settings.Bytes         `env:"MIMBackupMinFree" envDefault:"1 GB" doc:"Free space that the drive of MIMBackupDirectory must have before an export begins." want:"a size" example:"5 GB"`

	PortalURI      string          `env:"MIMBackupPortalUri" envDefault:"http://localhost:5725" doc:"The MIM Service whose policy and schema are exported, as seen from the server. Without the snap-in FIMAutomation the part is skipped." want:"an http address" example:"http://mimservice.corp.example.com:5725"`
	PortalUser     string          `env:"MIMBackupPortalUser" doc:"Account that may read the MIM Service, when it is on another machine than the server or MIMSyncCredUser may not." want:"DOMAIN\\user" example:"CORP\\svc-mimread"`
	PortalPassword settings.Secret `env:"MIMBackupPortalPassword" doc:"Password of that account; in Azure a Key Vault reference." want:"a password, or a Key Vault reference" example:"@Microsoft.KeyVault(SecretUri=https://vault.vault.azure.net/secrets/MIMBackupPortalPassword)"`

	Container        string            `env:"MIMBackupContainer" envDefault:"mimbackup" doc:"Blob container for the backups. Keep it private: they name servers, accounts and the structure of the directory." want:"a container name" example:"mimbackup"`
	KeepOnServer     int               `env:"MIMBackupKeepOnServer" envDefault:"7" min:"1" max:"1000" doc:"Newest verified folders that stay on the server." want:"1 to 1000" example:"7"`
	KeepDays         int               `env:"MIMBackupKeepDays" envDefault:"14" min:"1" max:"3650" doc:"Days with a verified backup whose last one is kept in the container. The newest verified backup is always kept." want:"1 to 3650" example:"30"`
	KeepWeeks        int               `env:"MIMBackupKeepWeeks" envDefault:"8" min:"0" max:"520" doc:"Weeks whose last verified backup is kept." want:"0 to 520" example:"12"`
	KeepMonths       int               `env:"MIMBackupKeepMonths" envDefault:"24" min:"0" max:"240" doc:"Months whose last verified backup is kept." want:"0 to 240" example:"84"`
	MaxShrinkPercent int               `env:"MIMBackupMaxShrinkPercent" envDefault:"30" min:"0" max:"100" doc:"A part that lost more than this against the verified backup before, in files or bytes, is an error in the log. 0: never." want:"0 to 100" example:"20"`
	KeyBackup        Date              `env:"MIMBackupKeyBackup" doc:"When somebody last backed up MIM's encryption keys with miiskmu.exe; it stands in RESTORE.md. No backup here holds the keys." want:"a date, yyyy-MM-dd" example:"2026-09-30"`
	LateAfter        settings.Duration `env:"MIMBackupLateAfter" envDefault:"3h" min:"10m" doc:"A backup that is not verified this long after it was due is an error in the log." want:"a duration" example:"2h"`
}

// Problems are what is wrong between settings that are right one by one.
func (s *Settings) Problems() settings.Problems {
	var problems settings.Problems
	add := func(setting, got, want, example string) {
		problems = append(problems, settings.Problem{Setting: setting, Got: got, Want: want, Example: example})
	}
	if !regexp.MustCompile(`^[A-Za-z]:\\[^<>:"/|?*]+$`).MatchString(s.Directory) || strings.Contains(s.Directory, `\..`) {
		add("MIMBackupDirectory", s.Directory, "a folder on a drive of the server, below its root", `C:\Backup`)
	}
	if err := s.Schedule.Validate(); err != nil {
		add("MIMBackupSchedule", s.Schedule.String(), err.Error(), "0 30 23 * * *")
	}
	if s.PortalUser != "" && s.PortalPassword.IsZero() {
		add("MIMBackupPortalPassword", "", "the password of MIMBackupPortalUser", "@Microsoft.KeyVault(SecretUri=https://vault.vault.azure.net/secrets/MIMBackupPortalPassword)")
	}
	if !strings.HasPrefix(s.PortalURI, "http://") && !strings.HasPrefix(s.PortalURI, "https://") {
		add("MIMBackupPortalUri", s.PortalURI, "an http or https address", "http://localhost:5725")
	}
	return problems
}

// Root is MIMBackupDirectory without a backslash at its end.
func (s *Settings) Root() string { return strings.TrimRight(s.Directory, `\`) }

// Export is how mimexport is to work.
func (s *Settings) Export() mimexport.Config {
	return mimexport.Config{
		Root: s.Root(), FolderFormat: s.FolderFormat, Zone: s.Zone.Location(), Engine: s.Engine, MinFreeBytes: int64(s.MinFree),
		PortalURI: s.PortalURI, PortalUser: s.PortalUser, PortalPassword: s.PortalPassword, Proxy: s.Proxy, KeyBackup: s.KeyBackup.Time, LateAfter: s.LateAfter.Std(),
	}
}

// Retention is what stays in the container.
func (s *Settings) Retention() mim.Retention {
	return mim.Retention{Newest: 1, Days: s.KeepDays, Weeks: s.KeepWeeks, Months: s.KeepMonths}
}

// Date is a day.
type Date struct{ time.Time }

// UnmarshalText accepts yyyy-MM-dd.
func (d *Date) UnmarshalText(text []byte) (err error) {
	if d.Time, err = time.Parse(time.DateOnly, string(text)); err != nil {
		return fmt.Errorf("%q is no date such as 2026-09-30", text)
	}
	return nil
}
