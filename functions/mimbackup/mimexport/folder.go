package mimexport

import (
	"fmt"
	"strings"
	"time"
)

// FolderFormat names the dated folder, in the letters that .NET and PowerShell use: yyyy MM dd HH hh mm ss, everything else as
// it stands. hh, the hour of 12, is known from scripts that people have: it gives 01:30 and 13:30 the same name. The export
// never writes into a folder that exists but appends -2 and so on, so that hh does no harm; HH reads better.
type FolderFormat struct{ text string }

var layouts = strings.NewReplacer("yyyy", "2006", "MM", "01", "dd", "02", "HH", "15", "hh", "03", "mm", "04", "ss", "05")

// UnmarshalText refuses formats that do not name a day, or that .NET reads otherwise than they look.
func (f *FolderFormat) UnmarshalText(text []byte) error {
	s := string(text)
	for _, part := range []string{"yyyy", "MM", "dd"} {
		if !strings.Contains(s, part) {
			return fmt.Errorf("%q has no %s; wanted a format such as dd-MM-yyyy-HH-mm", s, part)
		}
	}
	rest := strings.NewReplacer("yyyy", "", "MM", "", "dd", "", "HH", "", "hh", "", "mm", "", "ss", "").Replace(s)
	if bad := strings.TrimLeft(rest, "-_"); bad != "" {
		return fmt.Errorf("%q contains %q; besides yyyy MM dd HH hh mm ss only - and _ are allowed", s, bad[:1])
	}
	f.text = s
	return nil
}

// Format renders the folder of the instant given.
func (f FolderFormat) Format(t time.Time) string { return t.Format(layouts.Replace(f.text)) }

func (f FolderFormat) String() string { return f.text }

// Engine is what exports management agents and server configuration.
type Engine string

// The engines. Auto is Lithnet where it is installed, else Builtin.
const (
	Auto    Engine = "auto"
	Lithnet Engine = "lithnet" // the PowerShell module LithnetMIISAutomation
	Builtin Engine = "builtin" // maexport.exe and svrexport.exe
)

// UnmarshalText accepts auto, lithnet and builtin.
func (e *Engine) UnmarshalText(text []byte) error {
	switch v := Engine(strings.ToLower(string(text))); v {
	case Auto, Lithnet, Builtin:
		*e = v
		return nil
	}
	return fmt.Errorf("unknown engine %q: want auto, lithnet or builtin", text)
}
