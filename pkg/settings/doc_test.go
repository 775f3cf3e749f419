package settings_test

import (
	"fmt"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

func ExampleLoad() {
	var s struct {
		Server   string            `env:"FTPServer,required" want:"a host name, or host:port" example:"ftp.example.com"`
		Password settings.Secret   `env:"FTPPassword,required" want:"the account's password"`
		Timeout  settings.Duration `env:"FTPTimeout" envDefault:"30s"`
	}
	err := settings.Load(&s, []string{"FTPSever=ftp.example.com", "FTPPassword=hunter22", "FTPTimeout=soon"})
	fmt.Println(err)
	fmt.Println(s.Password)
	// Output:
	// FTPServer: is not set, wants a host name, or host:port, for example "ftp.example.com"
	// FTPTimeout: got "soon", wants a duration such as 90s, 1h30m, 2d or hh:mm:ss ("soon" is no duration: a number with a unit is needed (ms, s, m, h, d))
	// FTPSever: got [redacted], wants a setting that exists (did you mean FTPServer?)
	// [redacted]
}
