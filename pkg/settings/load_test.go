package settings_test

import (
	"errors"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

type ftpSettings struct {
	settings.Common
	Server      string            `env:"FTPServer,required" doc:"The FTP server." want:"a host name, or host:port" example:"ftp.example.com"`
	Password    settings.Secret   `env:"FTPPassword,required" doc:"The password." want:"the account's password"`
	Connections int               `env:"FTPConnections" envDefault:"4" min:"1" max:"32" doc:"How many connections." want:"a whole number from 1 to 32" example:"4"`
	MinAge      settings.Duration `env:"FTPMinAge" envDefault:"5m" doc:"Youngest file taken." example:"00:05:00"`
}

func TestLoadFillsTheStruct(t *testing.T) {
	t.Parallel()
	var s ftpSettings
	err := settings.Load(&s, []string{"FTPServer= ftp.example.com ", "ftppassword= p w ", "AzureWebJobsStorage=UseDevelopmentStorage=true", "FTPConnections=  "})
	if err != nil {
		t.Fatal(err)
	}
	if s.Server != "ftp.example.com" || s.Password.Reveal() != " p w " || s.Connections != 4 || s.MinAge.String() != "5m0s" ||
		s.Storage.ConnectionString.Reveal() != "UseDevelopmentStorage=true" {
		t.Errorf("got %+v", s)
	}
}

func TestLoadReportsEveryProblem(t *testing.T) {
	t.Parallel()
	var s ftpSettings
	err := settings.Load(&s, []string{"FTPSever=x", "FTPConnections=99", "FTPMinAge=soon", "FTPPassword=@Microsoft.KeyVault(SecretUri=https://v/x)", "FTP_PROXY=http://proxy"})
	var problems settings.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("got %v", err)
	}
	t.Log("\n" + err.Error())
	if len(problems) != 6 {
		t.Errorf("%d problems, want 5", len(problems))
	}
}
