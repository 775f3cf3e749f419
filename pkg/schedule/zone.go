package schedule

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // a function app's container or sandbox may have no zone files
)

// A Zone is a time zone under the name that the user knows it by. The zero value is UTC.
type Zone struct {
	name string
	loc  *time.Location
}

// LoadZone finds a zone by its Windows name ("Central European Standard Time", in any case, as on Windows) or its IANA
// name ("Europe/Warsaw", exactly, as on Linux). What the host would silently read as UTC is an error here.
func LoadZone(name string) (Zone, error) {
	names, key := zoneNames(), strings.ToLower(name)
	iana := name
	if w, ok := names.windows[key]; ok {
		name, iana = w.name, w.iana
	}
	switch known := names.iana[key]; known {
	case "":
	case name: // also UTC, which is a name in both
		iana = name
	default:
		return Zone{}, fmt.Errorf("load time zone %q: unknown; did you mean %q?", name, known)
	}
	if iana == "" || iana == "Local" {
		return Zone{}, unknownZone(name)
	}
	loc, err := time.LoadLocation(iana)
	if err != nil {
		return Zone{}, unknownZone(name)
	}
	return Zone{name, loc}, nil
}

// LoadZoneIn is LoadZone, except that a Windows name means the IANA zone that goes by it in a territory (ISO 3166, such as
// CZ). Territories differ in the past of their clocks, rarely in the present. Where none is known, it is the zone's usual one.
func LoadZoneIn(name, territory string) (Zone, error) {
	if iana, ok := zoneNames().windows[strings.ToLower(name)].territories[territory]; ok {
		name = iana
	}
	return LoadZone(name)
}

func unknownZone(name string) error {
	return fmt.Errorf("load time zone %q: unknown; want a Windows name such as %q or an IANA name such as %q",
		name, "Central European Standard Time", "Europe/Warsaw")
}

// String is the name as the user knows it, Windows names in their usual case.
func (z Zone) String() string {
	if z.loc == nil {
		return "UTC"
	}
	return z.name
}

// Location is the zone for package time; never nil.
func (z Zone) Location() *time.Location {
	if z.loc == nil {
		return time.UTC
	}
	return z.loc
}

// UnmarshalText is LoadZone, for settings.
func (z *Zone) UnmarshalText(text []byte) (err error) {
	*z, err = LoadZone(string(text))
	return err
}

// MarshalText is the name.
func (z Zone) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// Windows is the Windows name of the zone; empty if there is none.
func (z Zone) Windows() string {
	return zoneNames().toWindows[z.Location().String()]
}

//go:embed zones.txt
var zonesText string

type windowsZone struct {
	name, iana  string
	territories map[string]string
}

type zoneTable struct {
	windows   map[string]windowsZone // by name in lower case
	iana      map[string]string      // name by name in lower case
	toWindows map[string]string      // Windows name by IANA name
}

var zoneNames = sync.OnceValue(func() zoneTable {
	t := zoneTable{map[string]windowsZone{}, map[string]string{}, map[string]string{}}
	for line := range strings.Lines(zonesText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		column := strings.Split(strings.TrimSpace(line), "|")
		w := windowsZone{name: column[0], iana: column[1], territories: map[string]string{}}
		for _, pair := range strings.Fields(column[2]) {
			territory, iana, _ := strings.Cut(pair, "=")
			w.territories[territory] = iana
		}
		if w.name != "" {
			t.windows[strings.ToLower(w.name)] = w
		}
		for _, iana := range strings.Fields(column[3]) {
			t.iana[strings.ToLower(iana)] = iana
			t.toWindows[iana] = w.name
		}
	}
	return t
})
