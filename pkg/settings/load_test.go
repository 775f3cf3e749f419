package settings_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// app is a settings struct as an app has it.
type app struct {
	settings.Common
	Server      string            `env:"FTPServer,required" doc:"The FTP server." want:"a host name, or host:port" example:"ftp.example.com"`
	Password    settings.Secret   `env:"FTPPassword,required" doc:"The password." want:"the account's password"`
	Username    string            `env:"FTPUsername" doc:"The account."`
	CAFile      string            `env:"FTPCAFile" doc:"Certificate authority."`
	Connections int               `env:"FTPConnections" envDefault:"4" min:"1" max:"32" doc:"How many connections." want:"a whole number from 1 to 32" example:"4"`
	Passive     bool              `env:"FTPPassive" envDefault:"true" doc:"Passive mode."`
	MinAge      settings.Duration `env:"FTPMinAge" envDefault:"5m" max:"1h" doc:"Youngest file taken." example:"00:05:00"`
	MaxSize     settings.Bytes    `env:"FTPMaxSize" doc:"Biggest file taken." example:"10 GB"`
	Include     settings.List     `env:"FTPInclude" doc:"Files taken." example:"*.csv"`
}

func (a *app) Problems() settings.Problems {
	if a.Username == "root" {
		return settings.Problems{{Setting: "FTPUsername", Got: "root", Want: "anybody else"}}
	}
	return nil
}

// enough is the least that app needs.
var enough = []string{"FTPServer=ftp.example.com", "FTPPassword=hunter22", "AzureWebJobsStorage=UseDevelopmentStorage=true"}

func load(more ...string) (app, error) {
	var a app
	err := settings.Load(&a, append(append([]string(nil), enough...), more...))
	return a, err
}

func TestLoad(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		environ []string
		got     func(app) any
		want    any
	}{
		"text":                             {nil, func(a app) any { return a.Server }, "ftp.example.com"},
		"text loses blanks around it":      {[]string{"FTPUsername= joe \t"}, func(a app) any { return a.Username }, "joe"},
		"text keeps an equals sign":        {[]string{"FTPUsername=a=b="}, func(a app) any { return a.Username }, "a=b="},
		"a secret":                         {nil, func(a app) any { return a.Password.Reveal() }, "hunter22"},
		"a default":                        {nil, func(a app) any { return a.Connections }, 4},
		"blank counts as not set":          {[]string{"FTPConnections= "}, func(a app) any { return a.Connections }, 4},
		"a number":                         {[]string{"FTPConnections=32"}, func(a app) any { return a.Connections }, 32},
		"yes or no":                        {[]string{"FTPPassive=False"}, func(a app) any { return a.Passive }, false},
		"a size":                           {[]string{"FTPMaxSize=1.5 GiB"}, func(a app) any { return int64(a.MaxSize) }, int64(3) << 29},
		"a duration":                       {[]string{"FTPMinAge=00:10:00"}, func(a app) any { return a.MinAge.String() }, "10m0s"},
		"a list":                           {[]string{"FTPInclude=*.csv; in/*.{txt,ldif};"}, func(a app) any { return strings.Join(a.Include, "|") }, "*.csv|in/*.{txt,ldif}"},
		"another case of the name":         {[]string{"ftpusername=joe"}, func(a app) any { return a.Username }, "joe"},
		"both cases with the same value":   {[]string{"FtpUsername=joe", "FTPUsername=joe"}, func(a app) any { return a.Username }, "joe"},
		"the last of one name twice":       {[]string{"FTPUsername=jim", "FTPUsername=joe"}, func(a app) any { return a.Username }, "joe"},
		"the zone by its Windows name":     {[]string{"WEBSITE_TIME_ZONE=W. Europe Standard Time"}, func(a app) any { return a.Zone.Location().String() }, "Europe/Berlin"},
		"the zone when not set":            {nil, func(a app) any { return a.Zone.String() }, "UTC"},
		"a struct in the struct":           {nil, func(a app) any { return a.Storage.ConnectionString.Reveal() }, "UseDevelopmentStorage=true"},
		"what the machine has is not ours": {[]string{"FTP_PROXY=x", "ftp_proxy=x", "FTPD=x", "PATH=x", "HOME=x", "APPSETTING_FTPSever=x", "WEBSITE_SITE_NAME=x", "AzureWebJobsSecretStorageType=x", "AzureWebJobsStorage__tableServiceUri=x", "MIMSyncCredUser=x", "FTPHost=x", "=C:=x", "novalue"}, func(a app) any { return a.Server }, "ftp.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := load(row.environ...)
			if err != nil {
				t.Fatal(err)
			}
			if got := row.got(a); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		environ []string
		want    string
	}{
		"not a number":        {[]string{"FTPConnections=four"}, `FTPConnections: got "four", wants a whole number from 1 to 32, for example "4"`},
		"too big a number":    {[]string{"FTPConnections=33"}, `FTPConnections: got "33", wants a whole number from 1 to 32, for example "4" (at most 32)`},
		"too small a number":  {[]string{"FTPConnections=0"}, `FTPConnections: got "0", wants a whole number from 1 to 32, for example "4" (at least 1)`},
		"not yes or no":       {[]string{"FTPPassive=maybe"}, `FTPPassive: got "maybe", wants true or false`},
		"not a duration":      {[]string{"FTPMinAge=soon"}, `FTPMinAge: got "soon", wants a duration such as 90s, 1h30m, 2d or hh:mm:ss, for example "00:05:00" ("soon" is no duration: a number with a unit is needed (ms, s, m, h, d))`},
		"too long":            {[]string{"FTPMinAge=2h"}, `FTPMinAge: got "2h", wants a duration such as 90s, 1h30m, 2d or hh:mm:ss, for example "00:05:00" (at most 1h)`},
		"not a size":          {[]string{"FTPMaxSize=10 Mb/s"}, `FTPMaxSize: got "10 Mb/s", wants a size in bytes, KB, MB, GB, KiB, MiB or GiB, for example "10 GB" (unknown unit`},
		"required and blank":  {[]string{"FTPServer="}, `FTPServer: is not set, wants a host name, or host:port, for example "ftp.example.com"`},
		"two cases differ":    {[]string{"FtpUsername=joe", "FTPUsername=jim"}, `also set as FtpUsername to something else`},
		"a letter missing":    {[]string{"FTPPasword=geheim"}, `FTPPasword: got [redacted], wants a setting that exists (did you mean FTPPassword?)`},
		"letters swapped":     {[]string{"FTPSevrer=x"}, `did you mean FTPServer?`},
		"an underscore":       {[]string{"FTP_SERVER=x"}, `did you mean FTPServer?`},
		"half a name":         {[]string{"FTPUser=x"}, `did you mean FTPUsername?`},
		"a name and more":     {[]string{"FTPServerName=x"}, `FTPServerName: got [redacted], wants a setting that exists (did you mean FTPServer?)`},
		"not ours but near":   {[]string{"WEBSITE_TIMEZONE=UTC"}, `did you mean WEBSITE_TIME_ZONE?`},
		"key vault":           {[]string{"FTPUsername=@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/x)"}, `the Key Vault reference was not resolved`},
		"key vault, a secret": {[]string{"FTPPassword=@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/x)"}, `the Key Vault reference was not resolved`},
		"the struct's own":    {[]string{"FTPUsername=root"}, `FTPUsername: got "root", wants anybody else`},
		"a nested struct's":   {[]string{"AzureWebJobsStorage="}, `AzureWebJobsStorage: is not set, wants a storage connection string, or AzureWebJobsStorage__accountName instead`},
		"an unknown zone":     {[]string{"WEBSITE_TIME_ZONE=Mars"}, `WEBSITE_TIME_ZONE: got "Mars"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environ := enough
			for _, entry := range row.environ { // what the row sets replaces what is there
				name, _, _ := strings.Cut(entry, "=")
				environ = without(environ, name)
			}
			var a app
			err := settings.Load(&a, append(environ, row.environ...))
			var problems settings.Problems
			if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got  %v\nwant %s", err, row.want)
			}
		})
	}
}

func without(environ []string, name string) (rest []string) {
	for _, entry := range environ {
		if !strings.HasPrefix(entry, name+"=") {
			rest = append(rest, entry)
		}
	}
	return rest
}

func TestAllProblemsComeTogether(t *testing.T) {
	t.Parallel()
	var a app
	err := settings.Load(&a, []string{"FTPConnections=no", "FTPMinAge=no", "FTPSever=x", "FTPUsername=joe"})
	var names []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		name, _, _ := strings.Cut(line, ":")
		names = append(names, name)
	}
	want := "[FTPServer FTPPassword FTPConnections FTPMinAge AzureWebJobsStorage FTPSever]"
	if got := fmt.Sprint(names); got != want {
		t.Errorf("problems with %s\nwant %s", got, want)
	}
	if a.Username != "joe" {
		t.Error("a setting without a problem was not read")
	}
}

func TestProblemsHoldNoSecret(t *testing.T) {
	t.Parallel()
	_, err := load("FTPMinAge=ftp://joe:hunter33@example.com", "FTPPasswrd=hunter44", "ftppassword=hunter55")
	for _, secret := range []string{"hunter22", "hunter33", "hunter44", "hunter55"} {
		if text := fmt.Sprintf("%v %+v %#v", err, err, err); err == nil || strings.Contains(text, secret) {
			t.Errorf("%s is in %s", secret, text)
		}
	}
}
