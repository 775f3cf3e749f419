package settings_test

import (
	"strings"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

// server is a struct that several apps have, some of them as an option.
type server struct {
	Name     string          `env:"SRVName,required" doc:"The server." example:"srv01"`
	User     string          `env:"SRVUser,required" doc:"The user." example:"joe"`
	Password settings.Secret `env:"SRVPassword" doc:"The password."`
	Port     int             `env:"SRVPort" envDefault:"5986" doc:"The port."`
}

func (s *server) Problems() settings.Problems {
	if s.Password.IsZero() {
		return settings.Problems{{Setting: "SRVPassword", Want: "a password"}}
	}
	return nil
}

type withOption struct {
	Server server `optional:"SRVName"`
}

type withServer struct{ Server server }

func TestOptionalStruct(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		environ []string
		missing []string
	}{
		"not in use":                    {nil, nil},
		"not in use, a rest is there":   {[]string{"SRVUser=joe"}, nil},
		"blank counts as not in use":    {[]string{"SRVName= "}, nil},
		"in use":                        {[]string{"SRVName=a", "SRVUser=b", "SRVPassword=c"}, nil},
		"in use, nothing else is there": {[]string{"srvname=a"}, []string{"SRVUser", "SRVPassword"}},
		"not in use, but wrong":         {[]string{"SRVPort=x"}, []string{"SRVPort"}},
	} {
		var s withOption
		err := settings.Load(&s, row.environ)
		if (err == nil) != (row.missing == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, setting := range row.missing {
			if !strings.Contains(err.Error(), setting) {
				t.Errorf("%s: %v, want %s in it", name, err, setting)
			}
		}
		if s.Server.Port != 5986 && row.missing == nil {
			t.Errorf("%s: port %d", name, s.Server.Port)
		}
	}
}

func TestDescribeOfAnOptionalStruct(t *testing.T) {
	t.Parallel()
	if got := settings.Describe(withOption{})[0]; got.Required || got.Local != "" {
		t.Errorf("alone: %+v", got)
	}
	for _, got := range [][]settings.Setting{settings.Describe(withOption{}, withServer{}), settings.Describe(withServer{}, withOption{})} {
		if len(got) != 4 || !got[0].Required || got[0].Local != "srv01" {
			t.Errorf("beside an app that requires it: %+v", got)
		}
	}
}
