// Package config is what the app settings of ftppull are, beside the app's main so that the repository can list the settings of
// all apps in one example file.
package config

import (
	"crypto/tls"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpdeliver"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpfetch"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpscan"
	"github.com/nightshift-hq/nightshift/pkg/ftp"
	"github.com/nightshift-hq/nightshift/pkg/mimsync"
	"github.com/nightshift-hq/nightshift/pkg/schedule"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/storage"
	"github.com/nightshift-hq/nightshift/pkg/trust"
)

// Settings are the app settings of ftppull. The first five are those of the scripts that it replaces.
type Settings struct {
	settings.Common

	Server          string          `env:"FTPServer,required" doc:"The FTP server." want:"a host name, or host:port" example:"ftp.example.com"`
	Username        string          `env:"FTPUsername,required" doc:"User to log in with." want:"a user name" example:"nightshift"`
	Password        settings.Secret `env:"FTPPassword,required" doc:"Password of that user; in Azure a Key Vault reference." want:"a password, or a Key Vault reference" example:"@Microsoft.KeyVault(SecretUri=https://vault.vault.azure.net/secrets/FTPPassword)"`
	SourceDirectory string          `env:"FTPSourceDirectory" envDefault:"/" doc:"Directory on the FTP server to take files from." want:"an absolute path" example:"/outgoing/hr"`
	TargetDirectory string          `env:"FTPTargetDirectory,required" doc:"Where the dated folders go: the root directory on the MIM server; in blob storage the same path with / and without the colon." want:"a path, Windows or POSIX" example:"E:\\Import\\HR" local:"E:\\Import\\HR"`

	Schedule schedule.Schedule `env:"FTPSchedule" envDefault:"0 30 10 * * *" doc:"When to look, by the wall clock of WEBSITE_TIME_ZONE, as NCRONTAB." want:"six fields: second minute hour day month day-of-week" example:"0 0 5 * * MON-FRI"`

	Security       ftp.Security      `env:"FTPSecurity" envDefault:"explicit" doc:"Encryption of the connection. cleartext sends the password readable over the network." want:"explicit, implicit or cleartext" example:"explicit"`
	CAFile         string            `env:"FTPCAFile" doc:"PEM file with the certificate authority of the server, when it is not a public one." want:"a path" example:"ca.pem"`
	CertificatePin string            `env:"FTPCertificatePin" doc:"SHA-256 of the server's public key (SPKI); replaces the check of name and authority, for self-signed servers. The check function prints the present one." want:"64 hex digits or base64" example:"sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="`
	Connections    int               `env:"FTPConnections" envDefault:"4" min:"1" max:"32" doc:"Connections to the server at a time." want:"1 to 32" example:"4"`
	ConnectTimeout settings.Duration `env:"FTPConnectTimeout" envDefault:"30s" min:"1s" doc:"Limit for each network connection to be made." want:"a duration" example:"30s"`
	IdleTimeout    settings.Duration `env:"FTPIdleTimeout" envDefault:"60s" min:"1s" doc:"A server that is silent for this long is given up." want:"a duration" example:"60s"`
	ListingZone    schedule.Zone     `env:"FTPListingZone" envDefault:"UTC" doc:"Time zone of the server's listings, for servers without MLSD." want:"a Windows or IANA time zone" example:"W. Europe Standard Time"`
	Disable        settings.List     `env:"FTPDisable" doc:"Protocol features the server announces but does not master." want:"any of MLSD, EPSV, UTF8, TLS13" example:"EPSV"`

	Include    ftpscan.Globs        `env:"FTPInclude" doc:"Only files that match one of these, without regard to case; ** crosses folders. Empty: all." want:"globs separated by ;" example:"*.csv; payroll/**/*.txt"`
	Exclude    ftpscan.Globs        `env:"FTPExclude" doc:"Never files that match one of these." want:"globs separated by ;" example:"**/test_*"`
	Temporary  ftpscan.Globs        `env:"FTPTemporary" envDefault:"*.tmp; *.part; *.filepart; ~*; .*" doc:"Names that senders give to unfinished files; never taken." want:"globs separated by ;" example:"*.tmp; *.part"`
	Depth      int                  `env:"FTPDepth" envDefault:"0" min:"0" max:"32" doc:"Levels of folders below FTPSourceDirectory to look into; 0 is that directory alone." want:"0 to 32" example:"3"`
	MinSize    settings.Bytes       `env:"FTPMinSize" doc:"Smaller files are left alone." want:"a size" example:"1 KB"`
	MaxSize    settings.Bytes       `env:"FTPMaxSize" doc:"Larger files are left alone." want:"a size" example:"20 GB"`
	MinAge     settings.Duration    `env:"FTPMinAge" doc:"Younger files are left alone." want:"a duration" example:"10m"`
	MaxAge     settings.Duration    `env:"FTPMaxAge" doc:"Older files are left alone." want:"a duration" example:"30d"`
	Settle     settings.Duration    `env:"FTPSettle" envDefault:"30s" max:"3m" doc:"A new file is taken when two listings this far apart agree on its size and time. 0s takes it at once." want:"a duration up to 3m" example:"30s"`
	DoneSuffix string               `env:"FTPDoneSuffix" doc:"Instead of settling: a file is taken once a companion with this suffix is there." want:"a suffix" example:".done"`
	Expect     ftpscan.Expectations `env:"FTPExpect" doc:"Files that must have arrived by a time of day; an error in the log when they have not." want:"GLOB by HH:MM, separated by ;" example:"hr/*.csv by 06:00; payroll.txt by 07:30"`

	HoldEmpty        bool           `env:"FTPHoldEmpty" envDefault:"true" doc:"Hold empty files until an operator releases them." want:"true or false" example:"true"`
	MaxShrinkPercent int            `env:"FTPMaxShrinkPercent" envDefault:"50" min:"0" max:"100" doc:"Hold a file that lost more than this against the version delivered last, in bytes or lines. 0: never." want:"0 to 100" example:"20"`
	RequireHeader    ftpfetch.Rules `env:"FTPRequireHeader" doc:"Hold files whose first line does not match." want:"GLOB=REGEXP, separated by ;" example:"hr/*.csv=^EmployeeID,"`
	RequireTrailer   ftpfetch.Rules `env:"FTPRequireTrailer" doc:"Hold files whose last line does not match: they may be cut off." want:"GLOB=REGEXP, separated by ;" example:"payroll*.txt=^TRAILER\\|\\d+$"`

	After            ftpfetch.After       `env:"FTPAfter" envDefault:"keep" doc:"What happens to the source once its copy is stored and verified." want:"keep, delete or archive" example:"archive"`
	ArchiveDirectory string               `env:"FTPArchiveDirectory" doc:"With FTPAfter=archive: where sources are moved on the FTP server, into dated folders." want:"an absolute path" example:"/outgoing/archive"`
	Container        string               `env:"FTPContainer" envDefault:"ftppull" doc:"Blob container for the files." want:"a container name" example:"ftppull"`
	FolderFormat     ftpscan.FolderFormat `env:"FTPFolderFormat" envDefault:"yyyy-MM-dd" doc:"Name of the dated folder, by the wall clock of WEBSITE_TIME_ZONE." want:"yyyy, MM, dd, HH, mm, ss with - or _" example:"dd-MM-yyyy"`
	BatchFiles       int                  `env:"FTPBatchFiles" envDefault:"100" min:"1" max:"500" doc:"Most files of one queue message." want:"1 to 500" example:"100"`
	BatchBytes       settings.Bytes       `env:"FTPBatchBytes" envDefault:"256 MB" min:"1" doc:"Most bytes of one queue message; a larger file travels alone." want:"a size" example:"256 MB"`

	MIM     mimsync.Settings `optional:"MIMSyncServer"`
	Via     ftpdeliver.Via   `env:"MIMDeliverVia" envDefault:"link" doc:"With MIMSyncServer: how files get to it. link: the server fetches them from blob storage. stdin: over WinRM, for a server without a way to storage; some megabytes a minute to some a second." want:"link or stdin" example:"stdin"`
	Publish ftpdeliver.Rules `env:"FTPPublish" doc:"With MIMSyncServer: the file of a delivery that also takes the place of one that a management agent reads. The newest that matches counts." want:"GLOB=FILE, separated by ;" example:"hr/*.csv=C:\\Program Files\\Microsoft Forefront Identity Manager\\2010\\Synchronization Service\\MaData\\HR\\hr.csv"`
}

// Delivers tells whether files go on to a MIM server.
func (s *Settings) Delivers() bool { return s.MIM.Server != "" }

// Delivery is how they get there.
func (s *Settings) Delivery() ftpdeliver.Config {
	return ftpdeliver.Config{Target: s.TargetDirectory, Via: s.Via, Publish: s.Publish, Proxy: s.MIM.Proxy}
}

// features that FTPDisable knows.
var features = []string{"MLSD", "EPSV", "UTF8", "TLS13"}

// Problems are what is wrong between settings that are right one by one.
func (s *Settings) Problems() settings.Problems {
	var problems settings.Problems
	add := func(setting, got, want, example string) {
		problems = append(problems, settings.Problem{Setting: setting, Got: got, Want: want, Example: example})
	}
	if strings.Contains(s.Server, "/") {
		add("FTPServer", s.Server, "a host name, or host:port, without ftp:// and without a path", "ftp.example.com")
	}
	if err := (trust.Anchor{CAFile: s.CAFile, Pin: s.CertificatePin}).Apply(&tls.Config{}); err != nil {
		setting, got, example := "FTPCAFile", s.CAFile, "ca.pem"
		if s.CertificatePin != "" { // it wins over the file
			setting, got, example = "FTPCertificatePin", s.CertificatePin, "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
		}
		add(setting, got, "something that can be trusted: "+err.Error(), example)
	}
	if err := storage.CheckContainerName(s.Container); err != nil {
		add("FTPContainer", s.Container, err.Error(), "ftppull")
	}
	if s.TargetDirectory != "" {
		if _, err := drop.TargetPrefix(s.TargetDirectory); err != nil {
			add("FTPTargetDirectory", s.TargetDirectory, "a folder: "+err.Error(), `E:\Import\HR`)
		}
	}
	if s.Delivers() {
		if err := drop.CheckWindowsFolder(s.TargetDirectory); err != nil {
			add("FTPTargetDirectory", s.TargetDirectory, "with MIMSyncServer a folder on a drive of that server: "+err.Error(), `E:\Import\HR`)
		}
	} else if len(s.Publish) > 0 {
		add("MIMSyncServer", "", "the server of FTPPublish", "mim01.corp.example.com")
	}
	if s.After == ftpfetch.Archive && s.ArchiveDirectory == "" {
		add("FTPArchiveDirectory", "", "a directory on the FTP server, because FTPAfter is archive", "/outgoing/archive")
	}
	if s.After == ftpfetch.Archive && path.Clean("/"+s.ArchiveDirectory) == path.Clean("/"+s.SourceDirectory) {
		add("FTPArchiveDirectory", s.ArchiveDirectory, "another directory than FTPSourceDirectory", "/outgoing/archive")
	}
	for _, feature := range s.Disable {
		if !slices.ContainsFunc(features, func(known string) bool { return strings.EqualFold(known, feature) }) {
			add("FTPDisable", feature, "any of "+strings.Join(features, ", "), "EPSV")
		}
	}
	if err := s.Schedule.Validate(); err != nil && !s.Schedule.IsZero() { // zero: it could not be read, which is reported
		add("FTPSchedule", s.Schedule.String(), err.Error(), "0 30 10 * * *")
	}
	return problems
}

// Client is how the FTP server is reached.
func (s *Settings) Client() ftp.Config {
	off := func(feature string) bool {
		return slices.ContainsFunc(s.Disable, func(d string) bool { return strings.EqualFold(d, feature) })
	}
	return ftp.Config{
		Server: s.Server, Username: s.Username, Password: s.Password, Security: s.Security,
		CAFile: s.CAFile, Pin: s.CertificatePin, ConnectTimeout: time.Duration(s.ConnectTimeout), IdleTimeout: time.Duration(s.IdleTimeout),
		ListingZone: s.ListingZone.Location(), DisableMLSD: off("MLSD"), DisableEPSV: off("EPSV"), DisableUTF8: off("UTF8"), DisableTLS13: off("TLS13"),
	}
}

// Filter says which files are wanted. It keeps the archive out of the scan when it lies below the source.
func (s *Settings) Filter(source string) ftpscan.Filter {
	f := ftpscan.Filter{
		Include: s.Include, Exclude: s.Exclude, Temporary: s.Temporary, MinSize: int64(s.MinSize), MaxSize: int64(s.MaxSize),
		MinAge: s.MinAge.Std(), MaxAge: s.MaxAge.Std(), DoneSuffix: s.DoneSuffix,
	}
	below, found := strings.CutPrefix(path.Clean("/"+s.ArchiveDirectory), strings.TrimSuffix(source, "/")+"/")
	if found && s.After == ftpfetch.Archive {
		f.Exclude = append(f.Exclude, below+"/**")
	}
	return f
}
